"""Tests a world as a demanding user would: `steca world check`."""
