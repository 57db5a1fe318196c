"""From a configuration to its run: its id and folder, its lock, where it starts, what the cache has of it."""
