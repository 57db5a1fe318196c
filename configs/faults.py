"""The one error type of this package."""

from __future__ import annotations


class ConfigFault(Exception):
    """A configuration that cannot be used. One line per problem, with the file or field."""
