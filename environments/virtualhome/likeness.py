"""Goals up to things of one kind. A description says "turn on the light", and the program that came with it turned on
light 245: light 64 will do too. So a goal is reached if its facts hold of some choice of like things, one for each
thing that it names. A fact counts only where it is a change: a light that was on from the beginning reaches nothing.

Things are alike if they are of one class and, where the description names the room of the goal's thing, in a room of
that kind.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from environments.virtualhome.goals import Fact, Goal, Graph

MOST = 64
"""So many choices of the second things of relations are tried. Where there are more, they are those of the program."""
Like = Mapping[int, tuple[int, ...]]
"""A thing -> the things that are like it, itself among them."""
Change = tuple[Fact, bool]
"""A fact, and whether it must hold."""
Subjects = list[dict[int, tuple[Change, ...]]]
"""For each thing that the goal says something of: the like things, with what of it would be a change of them."""


def like_things(graph: Graph, description: str) -> Like:
    """For each thing of a home."""
    kinds = {node["id"]: node["class_name"] for node in graph["nodes"]}
    rooms = {node["id"]: node["class_name"] for node in graph["nodes"] if node.get("category") == "Rooms"}
    room = {
        edge["from_id"]: rooms[edge["to_id"]]
        for edge in graph["edges"]
        if edge["relation_type"].upper() == "INSIDE" and edge["to_id"] in rooms
    }
    named = {kind for kind in rooms.values() if kind.replace("_", " ") in description.lower()}
    members: dict[str, list[int]] = {}
    for number, kind in kinds.items():
        members.setdefault(kind, []).append(number)
    return {
        thing: tuple(
            other for other in members[kind] if room.get(thing) not in named or room.get(other) == room[thing]
        )
        for thing, kind in kinds.items()
    }


@dataclass(frozen=True)
class Reach:
    """How far a goal is reached. `ways`: one for each choice of the second things of its relations."""

    facts: int
    ways: tuple[Subjects, ...]

    @classmethod
    def of(cls, goal: Goal, before: Collection[Fact], like: Like) -> Reach:
        """`before`: the facts at the start."""
        return cls(len(goal), tuple(_ways(goal, before, like)))

    def progress(self, holds: Callable[[Fact], bool]) -> float:
        """The largest share of the goal's facts that hold of a choice of things; 1.0 exactly when all do."""
        return max(_most_right(subjects, holds) for subjects in self.ways) / self.facts if self.facts else 1.0


def _ways(goal: Goal, before: Collection[Fact], like: Like) -> Iterator[Subjects]:
    changes = [*((fact, True) for fact in goal.added), *((fact, False) for fact in goal.removed)]
    seconds = sorted({fact[2] for fact, _ in changes if len(fact) == 3})
    choices = [like[thing] for thing in seconds]
    if math.prod(map(len, choices)) > MOST:
        choices = [(thing,) for thing in seconds]
    for chosen in itertools.product(*choices):
        if len(set(chosen)) == len(chosen):
            yield _subjects(changes, before, like, dict(zip(seconds, chosen, strict=True)))


def _subjects(
    changes: list[Change], before: Collection[Fact], like: Like, second: Mapping[int, int]
) -> Subjects:
    """`second`: what the second things of relations are exchanged for."""
    found, taken = [], set(second.values())
    for thing in dict.fromkeys(fact[0] for fact, _ in changes):
        own = [(fact, wanted) for fact, wanted in changes if fact[0] == thing]
        others = (
            (second[thing],) if thing in second else [other for other in like[thing] if other not in taken]
        )
        exchanged = {other: [(_of(fact, other, second), wanted) for fact, wanted in own] for other in others}
        found.append(
            {
                other: tuple((fact, wanted) for fact, wanted in now if (fact in before) != wanted)
                for other, now in exchanged.items()
            }
        )
    return found


def _of(fact: Fact, thing: int, second: Mapping[int, int]) -> Fact:
    return (thing, fact[1]) if len(fact) == 2 else (thing, fact[1], second[fact[2]])


def _most_right(subjects: Subjects, holds: Callable[[Fact], bool]) -> int:
    """The most changes that are made, with another thing for each subject; one may go without."""
    right = [
        {thing: sum(holds(fact) == wanted for fact, wanted in changes) for thing, changes in subject.items()}
        for subject in subjects
    ]
    if len(right) == 1:
        return max(right[0].values(), default=0)
    things = sorted({thing for each in right for thing in each})
    nothing = [0] * len(right)  # better than a thing that is not like it
    table = np.array([[*(each.get(thing, -1) for thing in things), *nothing] for each in right])
    return int(table[linear_sum_assignment(table, maximize=True)].sum())
