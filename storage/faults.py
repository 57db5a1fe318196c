"""The one error type of this package."""

from __future__ import annotations


class StorageFault(Exception):
    """Stored data cannot be written, read or trusted. One line: what happened, to which file, what to do."""
