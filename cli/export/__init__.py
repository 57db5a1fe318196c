"""`steca export`."""
