"""What was played, counted in the factory's own processes by counting/sitecustomize.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

COUNTING = Path(__file__).with_name("counting")


@dataclass(frozen=True)
class Played:
    """Batches and episodes that were begun."""

    batches: int = 0
    episodes: int = 0

    def __add__(self, other: Played) -> Played:
        return Played(self.batches + other.batches, self.episodes + other.episodes)

    def __sub__(self, other: Played) -> Played:
        return Played(self.batches - other.batches, self.episodes - other.episodes)


def played_in(log: Path) -> Played:
    """What the processes that wrote this log have begun."""
    lines = log.read_text().splitlines() if log.exists() else []
    return Played(sum(line.startswith("batch ") for line in lines), lines.count("episode"))
