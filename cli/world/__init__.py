"""`steca world`: make a world of your own, and test it."""
