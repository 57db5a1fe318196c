"""The one error type of this package."""

from __future__ import annotations


class StorageFault(Exception):
    """Stored data cannot be written, read or trusted. The message is one line: what happened, to which file, what to
    do."""


class UnusableDatabase(StorageFault):
    """The working database is damaged or cannot be migrated. It has to be rebuilt from the shards."""
