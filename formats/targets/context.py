"""The ways of --context. This module imports nothing, as the command line needs it at once."""

from __future__ import annotations

from typing import Literal

Context = Literal["refuse", "fold", "drop", "split"]
"""What becomes of examples with turns that must not be trained on, in a format that cannot say so. fold: these turns go
into the first user message. drop: the examples are left out. split: one row a target turn, for readers that can train
on the last turn only."""
