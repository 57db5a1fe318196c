"""The Prefect server of a command: its settings, environment and process."""
