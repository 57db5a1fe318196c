"""The configuration: its schema, its loader, and YAML files to copy."""
