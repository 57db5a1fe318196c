"""Random households: layouts (which receptacles a room has), and games in them (where the objects are, and the goal).

A game is drawn in two steps. The layouts are a fixed pool for each room size, the same for every seed: most of them
serve train, validation and seen, the rest only unseen. A game then takes a layout, a goal that the layout can
serve, and a place for every object. What decides the split of a game is its content, never its number in a list,
so splits cannot share a game whatever seeds they were drawn with.
"""

from __future__ import annotations

import functools
import hashlib
import random
from collections import Counter
from dataclasses import dataclass

from environments.alfworld.catalog import (
    CAN_CONTAIN,
    CLEANABLE,
    COOLABLE,
    HEATABLE,
    LAMPS,
    PLACES,
    ROOM_OBJECTS,
    ROOMS,
    Room,
)
from environments.base import EnvironmentFault
from steca.vocabulary import Split

TASK_TYPES = (
    "pick_and_place_simple",
    "look_at_obj_in_light",
    "pick_clean_then_place_in_recep",
    "pick_heat_then_place_in_recep",
    "pick_cool_then_place_in_recep",
    "pick_two_obj_and_place",
)
TREATMENT = {
    "pick_clean_then_place_in_recep": ("SinkBasin", CLEANABLE),
    "pick_heat_then_place_in_recep": ("Microwave", HEATABLE),
    "pick_cool_then_place_in_recep": ("Fridge", COOLABLE),
}
"""Task type -> the appliance that it needs, and the objects that the appliance takes."""

TRAIN_LAYOUTS, UNSEEN_LAYOUTS = 24, 12
"""Layouts in the pool, for each room."""

COPIES = 3
"""How many objects of one type a game has at most."""

_SHARES: tuple[Split, ...] = ("train", "train", "validation", "seen")


@dataclass(frozen=True)
class Goal:
    """What to do with which object type; `target` is the receptacle type to put it in, or the lamp type."""

    task_type: str
    thing: str
    target: str


@dataclass(frozen=True)
class Layout:
    room: Room
    receptacles: tuple[str, ...]  # type names, sorted, with repeats
    things: tuple[str, ...]  # object types that may lie here, lamps apart
    goals: dict[tuple[str, bool], tuple[Goal, ...]]  # (task type, held out) -> what can be asked here


@dataclass(frozen=True)
class Household:
    """One drawn game. `objects` are (type, index into the layout's receptacles)."""

    layout: Layout
    goal: Goal
    objects: tuple[tuple[str, int], ...]

    def digest(self) -> bytes:
        """Of the content, whatever the ids: what lies together on which type of receptacle, and the goal."""
        shelves: list[list[str]] = [[] for _ in self.layout.receptacles]
        for thing, place in self.objects:
            shelves[place].append(thing)
        filled = sorted(
            (name, *sorted(things)) for name, things in zip(self.layout.receptacles, shelves, strict=True)
        )
        return hashlib.blake2b(repr((self.goal, filled)).encode(), digest_size=12).digest()


def held_out(goal: Goal) -> bool:
    """Whether this (object type, target type) pair is kept for the unseen split: every fifth, by its digest."""
    return hashlib.blake2b(f"{goal.thing} {goal.target}".encode()).digest()[0] % 5 == 0


def split_of(digest: bytes) -> Split:
    """Which of train, validation and seen a game of the training layouts belongs to."""
    return _SHARES[digest[0] % len(_SHARES)]


@functools.lru_cache(maxsize=16384)
def places_for(thing: str, receptacles: tuple[str, ...]) -> dict[int, float]:
    """Index of each receptacle where such a thing may lie -> weight; the likelier the type, the heavier."""
    ranks = {name: rank for rank, name in enumerate(PLACES[thing])}
    return {at: 1 / (1 + ranks[name]) for at, name in enumerate(receptacles) if name in ranks}


def goals_in(room: Room, receptacles: tuple[str, ...]) -> list[Goal]:
    """Every goal that can be set in a room with these receptacles."""
    present = set(receptacles)
    things = [thing for thing in ROOM_OBJECTS[room] if present & set(PLACES[thing])]
    goals = [
        Goal(task, thing, target)
        for task in TASK_TYPES
        if task != "look_at_obj_in_light" and TREATMENT.get(task, (receptacles[0],))[0] in present
        for thing in things
        if task not in TREATMENT or thing in TREATMENT[task][1]
        for target in sorted(present)
        if thing in CAN_CONTAIN[target]
        and target != TREATMENT.get(task, ("",))[0]
        and present & set(PLACES[thing]) - {target}
    ]
    lamps = {"bedroom": ("DeskLamp",), "livingroom": ("DeskLamp", "FloorLamp")}.get(room, ())
    lit = [lamp for lamp in lamps if present & set(PLACES[lamp])]
    return goals + [Goal("look_at_obj_in_light", thing, lamp) for lamp in lit for thing in things]


def most_of_a_kind(receptacle: str) -> int:
    """How many receptacles of a type any room may have."""
    return max(fixed.get(receptacle, 0) + optional.get(receptacle, 0) for fixed, optional in ROOMS.values())


def draw_layout(room: Room, size: int, rng: random.Random) -> Layout:
    """A room with `size` receptacles: those it always has, and a draw of those it may have."""
    fixed, optional = ROOMS[room]
    spare = list(Counter(optional).elements())
    receptacles = tuple(sorted([*fixed, *rng.sample(spare, size - len(fixed))]))
    grouped: dict[tuple[str, bool], tuple[Goal, ...]] = {}
    for goal in goals_in(room, receptacles):
        key = goal.task_type, held_out(goal)
        grouped[key] = (*grouped.get(key, ()), goal)
    things = tuple(thing for thing in ROOM_OBJECTS[room] if set(PLACES[thing]) & set(receptacles))
    return Layout(room, receptacles, things, grouped)


@functools.cache
def layouts(size: int, unseen: bool) -> tuple[Layout, ...]:
    """The pool of rooms with `size` receptacles. Raises EnvironmentFault where there are not enough different ones."""
    pool: list[Layout] = []
    for room in ROOMS:
        rng = random.Random(f"layouts of {size} receptacles, {room}")
        different: dict[tuple[str, ...], Layout] = {}
        for _ in range(5000):
            layout = draw_layout(room, size, rng)
            different.setdefault(layout.receptacles, layout)
            if len(different) == TRAIN_LAYOUTS + UNSEEN_LAYOUTS:
                break
        else:
            raise EnvironmentFault(
                f"only {len(different)} {room} layouts of {size} receptacles: choose 6 to 12"
            )
        ordered = list(different.values())
        pool += ordered[TRAIN_LAYOUTS:] if unseen else ordered[:TRAIN_LAYOUTS]
    return tuple(pool)


@functools.cache
def serving(size: int, task_type: str, unseen: bool) -> tuple[Layout, ...]:
    """The layouts of the pool that can serve a task type with goals of this side of the split."""
    return tuple(layout for layout in layouts(size, unseen) if (task_type, unseen) in layout.goals)


def draw_household(task_type: str, unseen: bool, size: int, objects: int, rng: random.Random) -> Household:
    """A solvable game: what the goal needs lies somewhere else than where it has to go, then other objects are
    strewn until there are `objects` of them."""
    layout = rng.choice(serving(size, task_type, unseen))
    goal = rng.choice(layout.goals[task_type, unseen])
    needed = [goal.thing] * (2 if task_type == "pick_two_obj_and_place" else 1)
    if goal.target in LAMPS:
        needed.append(goal.target)
    placed = [(thing, place(thing, layout, goal, rng)) for thing in needed]
    strewn = list(layout.things * COPIES)
    for thing in needed:
        if thing not in LAMPS:
            strewn.remove(thing)
    for thing in rng.sample(strewn, objects - len(placed)):
        placed.append((thing, place(thing, layout, goal, rng)))
    return Household(layout, goal, tuple(sorted(placed)))


def possible(thing: str, layout: Layout, goal: Goal) -> dict[int, float]:
    """Where a thing may lie in this game: nothing of the goal's type starts where it has to go."""
    spots = places_for(thing, layout.receptacles)
    if thing != goal.thing:
        return spots
    return {at: weight for at, weight in spots.items() if layout.receptacles[at] != goal.target}


def place(thing: str, layout: Layout, goal: Goal, rng: random.Random) -> int:
    spots = possible(thing, layout, goal)
    return rng.choices(list(spots), list(spots.values()))[0]
