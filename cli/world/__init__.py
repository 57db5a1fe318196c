"""`steca world`: make a world of your own, test it, and serve it."""
