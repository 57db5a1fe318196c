"""Ends the work of batches that wait for a model, when another batch has failed or the run is to end."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


class Stopped(Exception):
    """The batch did not fail: its stage was ended."""

    def __init__(self) -> None:
        super().__init__("ended with its stage; the same command goes on")


@runtime_checkable
class Stoppable(Protocol):
    def stop(self) -> None:
        """Let everything that waits for this model raise Stopped, from any thread. Nothing more is sent."""
        ...
