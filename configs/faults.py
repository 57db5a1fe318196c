"""The one error type of this package."""

from __future__ import annotations


class ConfigFault(Exception):
    """A configuration that cannot be used: one line for each problem, naming the file or field."""
