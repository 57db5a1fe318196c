"""`steca view` and `steca report`."""
