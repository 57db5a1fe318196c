"""The factory's data in the file formats of other tools."""
