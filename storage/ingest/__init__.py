"""From shards to tables: what is new is loaded, what cannot be loaded is set aside."""
