"""`steca import`: runs of a colleague's file as demonstrations."""
