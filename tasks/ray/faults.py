"""The one error of this boundary."""

from __future__ import annotations


class RunnerFault(Exception):
    """A cluster or an actor cannot be used. The message names it and says what to do."""
