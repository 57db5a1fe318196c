"""The one configuration: its schema, its loader, and the YAML files that a user copies."""
