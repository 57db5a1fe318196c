"""The one error type of this package."""

from __future__ import annotations


class StageFault(Exception):
    """A stage that cannot run. One line that names the run and the stage, and the command to use."""
