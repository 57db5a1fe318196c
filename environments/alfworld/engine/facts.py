"""The state of a game: a tuple of `Facts`, one for each predicate (its slot)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from environments.alfworld.engine.pddl import Domain, GameError

Row = tuple[str, ...]


class Facts(frozenset[Row]):
    """The true rows of one predicate. Indexes are built on first use and live as long as the set."""

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
        if len(positions) == 1:  # the common case, rebuilt after every change
            (position,) = positions
            for row in self:
                index.setdefault((row[position],), []).append(row)
        else:
            for row in self:
                index.setdefault(tuple([row[position] for position in positions]), []).append(row)
        for rows in index.values():
            rows.sort()
        self._indexes[positions] = index
        return index


State = tuple[Facts, ...]
Entities = Mapping[str, tuple[str, ...]]  # type -> the entities of that type, sorted


@dataclass(frozen=True, eq=False)
class Schema:
    """The slot of each predicate in a state, and the domain's declarations."""

    slots: Mapping[str, int]
    fluents: frozenset[str]  # predicates that actions change
    domain: Domain

    def slot(self, predicate: str) -> int:
        if predicate not in self.slots:
            raise GameError(f"the predicate {predicate!r} was queried, but no rule of this game reads it")
        return self.slots[predicate]

    def ensures(self, predicate: str, position: int, kind: str) -> bool:
        """Whether the predicate's declaration guarantees this type for the argument at `position`."""
        declared = self.domain.predicates.get(predicate.removeprefix("not_"), ())
        return position < len(declared) and self.domain.is_a(declared[position], kind)
