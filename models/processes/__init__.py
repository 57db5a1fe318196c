"""Child processes: their guard, their environment, and connections to this machine."""
