"""The command `steca`: `main` lists the commands, and each has a file for its work and what it prints."""
