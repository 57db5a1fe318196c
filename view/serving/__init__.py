"""The local server of the pages."""
