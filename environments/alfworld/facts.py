"""What is true in a game: a state is a tuple of `Facts`, one for each predicate (its slot)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from environments.alfworld.pddl import GameError

Row = tuple[str, ...]


class Facts(frozenset[Row]):
    """The true rows of one predicate. Indexes are made on first use and live as long as the set."""

    __slots__ = ("_indexes",)
    _indexes: dict[tuple[int, ...], dict[Row, list[Row]]]

    def by(self, positions: tuple[int, ...]) -> dict[Row, list[Row]]:
        """Sorted rows, grouped by their values at `positions`."""
        try:
            return self._indexes[positions]
        except AttributeError:
            self._indexes = {}
        except KeyError:
            pass
        index: dict[Row, list[Row]] = {}
        for row in sorted(self):
            index.setdefault(tuple([row[position] for position in positions]), []).append(row)
        self._indexes[positions] = index
        return index


State = tuple[Facts, ...]
Entities = Mapping[str, tuple[str, ...]]  # type -> the entities of that type, sorted


@dataclass(frozen=True, eq=False)
class Schema:
    """Where each predicate lives in a state, and which ones actions change."""

    slots: Mapping[str, int]
    fluents: frozenset[str]

    def slot(self, predicate: str) -> int:
        if predicate not in self.slots:
            raise GameError(
                f"the predicate {predicate!r} is used but the game's PDDL domain does not declare it"
            )
        return self.slots[predicate]
