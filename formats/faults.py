"""The one error type of this package."""

from __future__ import annotations


class FormatFault(Exception):
    """A run cannot be exported as asked. The message is one line: what is wrong, with which row, what to do."""
