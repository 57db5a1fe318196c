"""The world that `steca world new` writes: small, complete, and meant to be changed."""
