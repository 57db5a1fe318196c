"""Random households: layouts (which receptacles a room has), and games in them (where the objects are, and the goal).

A game is drawn in two steps. The layouts are a fixed pool for each room size, the same for every seed: most of them
serve train, validation and seen, the rest only unseen. A game then draws a layout, a goal that the layout supports,
and a place for every object. The content of a game decides its split, not its index in a list. So splits never share
a game, whatever their seeds.
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
"""Task type -> the appliance that it needs, and the objects that the appliance can treat."""

TRAIN_LAYOUTS, UNSEEN_LAYOUTS = 24, 12
"""Layouts in the pool, per room."""

MAX_COPIES = 3
"""Most objects of one type in a game."""

_SPLIT_SHARES: tuple[str, ...] = ("train", "train", "validation", "seen")


@dataclass(frozen=True)
class Goal:
    """What to do with which object type; `target` is the receptacle type to put it in, or the lamp type.

    `Household.digest` hashes its repr: another name of the class or of a field would draw other games."""

    task_type: str
    thing: str
    target: str


@dataclass(frozen=True)
class Layout:
    room: Room
    receptacles: tuple[str, ...]  # type names, sorted, with repeats
    things: tuple[str, ...]  # object types that may lie here, without lamps
    goals: dict[tuple[str, bool], tuple[Goal, ...]]  # (task type, held out) -> goals in this layout


@dataclass(frozen=True)
class Household:
    """One drawn game. `objects` are (type, index into the layout's receptacles)."""

    layout: Layout
    goal: Goal
    objects: tuple[tuple[str, int], ...]

    def digest(self) -> bytes:
        """Digest of the content without the ids: what lies together on which type of receptacle, and the goal."""
        shelves: list[list[str]] = [[] for _ in self.layout.receptacles]
        for thing, place in self.objects:
            shelves[place].append(thing)
        filled = sorted(
            (name, *sorted(things)) for name, things in zip(self.layout.receptacles, shelves, strict=True)
        )
        return hashlib.blake2b(repr((self.goal, filled)).encode(), digest_size=12).digest()


def held_out(goal: Goal) -> bool:
    """Whether this (object type, target type) pair is reserved for the unseen split: one in five, by its digest."""
    return hashlib.blake2b(f"{goal.thing} {goal.target}".encode()).digest()[0] % 5 == 0


def split_of(digest: bytes) -> str:
    """The split (train, validation or seen) of a game in the training layouts."""
    return _SPLIT_SHARES[digest[0] % len(_SPLIT_SHARES)]


@functools.lru_cache(maxsize=16384)
def places_for(thing: str, receptacles: tuple[str, ...]) -> dict[int, float]:
    """Index of each receptacle where such a thing may lie -> weight, larger for likelier types."""
    ranks = {name: rank for rank, name in enumerate(PLACES[thing])}
    return {at: 1 / (1 + ranks[name]) for at, name in enumerate(receptacles) if name in ranks}


def goals_in(room: Room, receptacles: tuple[str, ...]) -> list[Goal]:
    """Every possible goal in a room with these receptacles."""
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


def max_receptacles(receptacle: str) -> int:
    """Most receptacles of a type in any room."""
    return max(fixed.get(receptacle, 0) + optional.get(receptacle, 0) for fixed, optional in ROOMS.values())


def draw_layout(room: Room, size: int, rng: random.Random) -> Layout:
    """A room with `size` receptacles: those it always has, and a random choice of those it may have."""
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
    """The pool of rooms with `size` receptacles. Raises EnvironmentFault if there are too few distinct ones."""
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
def layouts_for(size: int, task_type: str, unseen: bool) -> tuple[Layout, ...]:
    """The layouts of the pool that have goals of a task type, reserved for unseen or not."""
    return tuple(layout for layout in layouts(size, unseen) if (task_type, unseen) in layout.goals)


def draw_household(task_type: str, unseen: bool, size: int, objects: int, rng: random.Random) -> Household:
    """A solvable game: what the goal needs starts somewhere other than the target. Then other objects are added until
    there are `objects`."""
    layout = rng.choice(layouts_for(size, task_type, unseen))
    goal = rng.choice(layout.goals[task_type, unseen])
    needed = [goal.thing] * (2 if task_type == "pick_two_obj_and_place" else 1)
    if goal.target in LAMPS:
        needed.append(goal.target)
    placed = [(thing, draw_place(thing, layout, goal, rng)) for thing in needed]
    scattered = list(layout.things * MAX_COPIES)
    for thing in needed:
        if thing not in LAMPS:
            scattered.remove(thing)
    for thing in rng.sample(scattered, objects - len(placed)):
        placed.append((thing, draw_place(thing, layout, goal, rng)))
    return Household(layout, goal, tuple(sorted(placed)))


def allowed_places(thing: str, layout: Layout, goal: Goal) -> dict[int, float]:
    """Where a thing may lie in this game: nothing of the goal's type starts at the target."""
    spots = places_for(thing, layout.receptacles)
    if thing != goal.thing:
        return spots
    return {at: weight for at, weight in spots.items() if layout.receptacles[at] != goal.target}


def draw_place(thing: str, layout: Layout, goal: Goal, rng: random.Random) -> int:
    spots = allowed_places(thing, layout, goal)
    return rng.choices(list(spots), list(spots.values()))[0]
