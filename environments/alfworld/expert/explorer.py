"""The exploring expert: it knows what the agent has seen, searches likely places in order, and thinks aloud.

A pure function of the visible history, whoever wrote it. Search order: places where such a thing is commonly kept
come first; among them open surfaces, then fridge, microwave and safe, then cabinets and drawers; each in the order
in which the first observation lists them. Anything seen on the way is remembered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from environments.alfworld.catalog import fits, likely, openable
from environments.alfworld.expert.aims import Aim, kind_of, read_aim
from environments.alfworld.expert.memory import Memory, remember
from environments.alfworld.texts.dialect import COMMAND, Dialect
from environments.alfworld.texts.narration import home_of_two, narrate
from steca.types import Step, Turn

PLAN_LENGTH = 8
"""How many places a search plan names at most."""


def expert_turn(first_observation: str, steps: Sequence[Step], dialect: Dialect = "put") -> Turn | None:
    """The expert's next turn, or None where it knows no way on (an instruction of unknown form, or everything was
    searched in vain). It does not know when the task is done: ask only while it is not.
    `dialect`: which word the game has for putting things down."""
    aim = read_aim(first_observation)
    if aim is None or aim.sliced:
        return None
    memory = remember(first_observation, ((step.action, step.observation) for step in steps))
    for action, plan in _ways(aim, memory, dialect):
        if memory.allowed(action):
            return Turn(narrate(aim, memory, action, plan), action)
    return None


Way = tuple[str, Sequence[str]]
"""An action to try, and the places it plans to search, if it searches."""


def _ways(aim: Aim, memory: Memory, dialect: Dialect) -> Iterator[Way]:
    """What to do next, best first: the first that has not failed here already is taken."""
    held = memory.held
    if held is None:
        yield from _fetch(aim, memory)
    elif kind_of(held) != aim.thing:
        yield from _get_rid(memory, held, dialect)
    elif aim.kind == "light":
        yield from _light(aim, memory)
    elif not memory.is_(held, aim.condition):
        yield from _treat(aim, memory, held)
    else:
        yield from _deliver(aim, memory, held, dialect)


def _fetch(aim: Aim, memory: Memory) -> Iterator[Way]:
    done = home_of_two(aim, memory) if aim.kind == "two" else None
    for thing, place in sorted(memory.kept(aim.thing), key=lambda kept: kept[1] != memory.here):
        if place != done:
            yield from _at(memory, place, f"take {thing} from {place}")
    yield from _search(memory, aim.thing)


def _light(aim: Aim, memory: Memory) -> Iterator[Way]:
    for lamp, place in sorted(memory.kept(aim.target), key=lambda kept: kept[1] != memory.here):
        yield from _at(memory, place, f"use {lamp}")
    yield from _search(memory, aim.target)


def _treat(aim: Aim, memory: Memory, held: str) -> Iterator[Way]:
    for place in _near_first(memory, [place for place in memory.places if kind_of(place) == aim.appliance]):
        action = f"{aim.kind} {held} with {place}"
        if memory.here == place:
            yield action, ()
        else:
            yield from _reach(memory, place)


def _deliver(aim: Aim, memory: Memory, held: str, dialect: Dialect) -> Iterator[Way]:
    targets = [place for place in memory.places if kind_of(place) == aim.target]
    started = home_of_two(aim, memory) if aim.kind == "two" else None
    for place in [started] if started else _near_first(memory, targets):
        yield from _at(memory, place, COMMAND[dialect].format(o=held, r=place))


def _get_rid(memory: Memory, held: str, dialect: Dialect) -> Iterator[Way]:
    """Put a thing that is not needed down at the nearest place that takes it."""
    for place in _near_first(memory, sorted(memory.places, key=openable)):
        if fits(held, place):
            yield from _at(memory, place, COMMAND[dialect].format(o=held, r=place))


def _search(memory: Memory, kind: str) -> Iterator[Way]:
    unseen = sorted(
        (place for place in memory.places if place not in memory.contents),
        key=lambda place: (not likely(kind, place), _hiddenness(place)),
    )
    if memory.here in unseen and likely(kind, memory.here or ""):
        yield f"open {memory.here}", ()
    for at, place in enumerate(unseen):
        if place == memory.here:
            yield f"open {place}", ()
        elif likely(kind, place):
            likely_ones = [other for other in unseen[at:] if likely(kind, other)]
            yield from _reach(memory, place, likely_ones[:PLAN_LENGTH])
        else:
            yield from _reach(memory, place, (place,))


def _at(memory: Memory, place: str, action: str) -> Iterator[Way]:
    """Do something at a place: go there first, open it first."""
    if memory.here != place:
        yield from _reach(memory, place)
    elif place in memory.closed:
        yield f"open {place}", ()
    else:
        yield action, ()


def _reach(memory: Memory, place: str, plan: Sequence[str] = ()) -> Iterator[Way]:
    """Going is refused where one place is within reach of another: then a look at it is enough."""
    yield f"go to {place}", plan
    if not memory.allowed(f"go to {place}"):
        yield f"examine {place}", ()


def _near_first(memory: Memory, places: Sequence[str]) -> list[str]:
    return sorted(places, key=lambda place: place != memory.here)


def _hiddenness(place: str) -> int:
    return (1 + (kind_of(place) in ("cabinet", "drawer"))) if openable(place) else 0
