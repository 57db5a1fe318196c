"""The exploring expert: it knows only what the agent has seen, searches likely places in order, and writes thoughts.

A pure function of the visible history, whoever produced it. Search order: places where such a thing is commonly found
come first; among them open surfaces, then fridge, microwave and safe, then cabinets and drawers; each in the order of
the first observation. Anything seen on the way is remembered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from environments.alfworld.catalog import fits, likely, openable
from environments.alfworld.expert.instruction import TaskGoal, kind_of, parse_instruction
from environments.alfworld.expert.memory import Memory, remember
from environments.alfworld.texts.dialect import COMMAND, Dialect
from environments.alfworld.texts.narration import home_of_two, narrate
from steca.types import Step, Turn

PLAN_LENGTH = 8
"""Most places that a search plan names."""


def expert_turn(first_observation: str, steps: Sequence[Step], dialect: Dialect = "put") -> Turn | None:
    """The expert's next turn, or None if it has none (the instruction has an unknown form, or everything was searched
    in vain). It cannot tell when the task is done, so call it only before. `dialect`: the game's command for putting
    things down."""
    goal = parse_instruction(first_observation)
    if goal is None or goal.sliced:
        return None
    memory = remember(first_observation, ((step.action, step.observation) for step in steps))
    for action, plan in _proposals(goal, memory, dialect):
        if memory.allowed(action):
            return Turn(narrate(goal, memory, action, plan), action)
    return None


Proposal = tuple[str, Sequence[str]]
"""An action to try, and the places that it plans to search, if any."""


def _proposals(goal: TaskGoal, memory: Memory, dialect: Dialect) -> Iterator[Proposal]:
    """Actions to try next, best first: the first that has not failed here is taken."""
    held = memory.held
    if held is None:
        yield from _fetch(goal, memory)
    elif kind_of(held) != goal.thing:
        yield from _get_rid(memory, held, dialect)
    elif goal.kind == "light":
        yield from _light(goal, memory)
    elif not memory.is_(held, goal.condition):
        yield from _treat(goal, memory, held)
    else:
        yield from _deliver(goal, memory, held, dialect)


def _fetch(goal: TaskGoal, memory: Memory) -> Iterator[Proposal]:
    done = home_of_two(goal, memory) if goal.kind == "two" else None
    for thing, place in sorted(memory.kept(goal.thing), key=lambda kept: kept[1] != memory.here):
        if place != done:
            yield from _at(memory, place, f"take {thing} from {place}")
    yield from _search(memory, goal.thing)


def _light(goal: TaskGoal, memory: Memory) -> Iterator[Proposal]:
    for lamp, place in sorted(memory.kept(goal.target), key=lambda kept: kept[1] != memory.here):
        yield from _at(memory, place, f"use {lamp}")
    yield from _search(memory, goal.target)


def _treat(goal: TaskGoal, memory: Memory, held: str) -> Iterator[Proposal]:
    for place in _near_first(memory, [place for place in memory.places if kind_of(place) == goal.appliance]):
        action = f"{goal.kind} {held} with {place}"
        if memory.here == place:
            yield action, ()
        else:
            yield from _reach(memory, place)


def _deliver(goal: TaskGoal, memory: Memory, held: str, dialect: Dialect) -> Iterator[Proposal]:
    targets = [place for place in memory.places if kind_of(place) == goal.target]
    started = home_of_two(goal, memory) if goal.kind == "two" else None
    for place in [started] if started else _near_first(memory, targets):
        yield from _at(memory, place, COMMAND[dialect].format(o=held, r=place))


def _get_rid(memory: Memory, held: str, dialect: Dialect) -> Iterator[Proposal]:
    """Put down a thing that is not needed, at the nearest place that takes it."""
    for place in _near_first(memory, sorted(memory.places, key=openable)):
        if fits(held, place):
            yield from _at(memory, place, COMMAND[dialect].format(o=held, r=place))


def _search(memory: Memory, kind: str) -> Iterator[Proposal]:
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


def _at(memory: Memory, place: str, action: str) -> Iterator[Proposal]:
    """Act at a place: go there and open it first if necessary."""
    if memory.here != place:
        yield from _reach(memory, place)
    elif place in memory.closed:
        yield f"open {place}", ()
    else:
        yield action, ()


def _reach(memory: Memory, place: str, plan: Sequence[str] = ()) -> Iterator[Proposal]:
    """Go to a place. The game refuses this if the place is within reach already; then examine it."""
    yield f"go to {place}", plan
    if not memory.allowed(f"go to {place}"):
        yield f"examine {place}", ()


def _near_first(memory: Memory, places: Sequence[str]) -> list[str]:
    return sorted(places, key=lambda place: place != memory.here)


def _hiddenness(place: str) -> int:
    return (1 + (kind_of(place) in ("cabinet", "drawer"))) if openable(place) else 0
