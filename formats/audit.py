"""What an export trains on, what it leaves out and what it changes, counted. Nothing happens silently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Audit:
    """Counts over the rows of an export. `observations`: messages of the world that the format trains on although the
    factory does not. `dropped`: rows left out, by reason. `changed`: rows that are not as the factory has them, such
    as sides that are cut. `longest`: characters of the longest row, as readers cut what exceeds their limit."""

    rows: int = 0
    turns_trained: int = 0
    turns_context: int = 0
    observations: int = 0
    longest: int = 0
    sets: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)

    def drop(self, reason: str, rows: int = 1) -> None:
        self.dropped[reason] += rows

    def change(self, how: str) -> None:
        self.changed[how] += 1

    def add(self, of_set: str, roles: Sequence[str], trained: Sequence[bool], characters: int) -> None:
        """Count a written row: its messages' roles, and which the format trains on."""
        self.rows += 1
        self.sets[of_set] += 1
        self.longest = max(self.longest, characters)
        for role, wanted in zip(roles, trained, strict=True):
            if role == "assistant":
                self.turns_trained += wanted
                self.turns_context += not wanted
            else:
                self.observations += wanted

    def to_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "rows_by_set": dict(sorted(self.sets.items())),
            "turns_trained": self.turns_trained,
            "turns_context_only": self.turns_context,
            "observations_trained": self.observations,
            "longest_row_characters": self.longest,
            "dropped": dict(sorted(self.dropped.items())),
            "changed": dict(sorted(self.changed.items())),
        }

    @classmethod
    def from_json(cls, known: dict[str, Any]) -> Audit:
        """What `to_json` gave."""
        return cls(
            known["rows"],
            known["turns_trained"],
            known["turns_context_only"],
            known["observations_trained"],
            known["longest_row_characters"],
            Counter(known["rows_by_set"]),
            Counter(known["dropped"]),
            Counter(known["changed"]),
        )
