"""What came of playing recorded runs again, beside the original code of a world."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Found:
    """One world, or one set of its tasks. `answers`: how many were compared with the original's, and how many `differ`.
    `exceptions`: a line on each kind of run that does not reach the goal, or is no task. `unexpected`: how many of
    those runs docs/worlds.md does not name."""

    world: str
    runs: int
    won: int
    answers: int
    differ: int
    exceptions: tuple[str, ...] = ()
    unexpected: int = 0

    @property
    def wrong(self) -> bool:
        return bool(self.differ or self.unexpected)
