"""The one error type of this package."""

from __future__ import annotations


class StorageFault(Exception):
    """Stored data cannot be written, read or trusted. One line: what happened, to which file, what to do."""


class UnusableDatabase(StorageFault):
    """The working database is damaged or cannot be migrated: it has to be made anew from the shards."""
