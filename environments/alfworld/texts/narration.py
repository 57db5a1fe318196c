"""Composes the thought before an action, from the visible history only.

The exploring expert and the composer of thoughts for recorded actions both use `narrate`, so their demonstrations have
the same wording.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from environments.alfworld.expert.instruction import CONDITION, TaskGoal, kind_of
from environments.alfworld.expert.memory import Memory
from environments.alfworld.texts import phrases
from environments.alfworld.texts.phrases import a

_GO = re.compile(r"go to ([a-z]+ \d+)$")
TAKE = re.compile(r"take ([a-z]+ \d+) from ([a-z]+ \d+)$")
PUT = re.compile(r"(?:put|move) ([a-z]+ \d+) (?:in/on|to) ([a-z]+ \d+)$")
_TREAT = re.compile(r"(clean|heat|cool) ([a-z]+ \d+) with ([a-z]+ \d+)$")
_DOOR = re.compile(r"(open|close|examine|use) ([a-z]+ \d+)$")


def narrate(goal: TaskGoal, memory: Memory, action: str, plan: Sequence[str] = ()) -> str:
    """The thought that leads to `action`. `plan`: the places to search, of which `action` goes to the first."""
    thought = _reason(goal, memory, action, plan)
    return f"{phrases.FAILED} {thought}" if memory.failed else thought


def wanted_kind(goal: TaskGoal, memory: Memory) -> str:
    """The type to look for now: the lamp once the thing to light is in the hand, else the thing."""
    lit = goal.kind == "light" and memory.held is not None and kind_of(memory.held) == goal.thing
    return goal.target if lit else goal.thing


def need_of(goal: TaskGoal, memory: Memory) -> str:
    """The type to look for with its article: "another" for the second of two."""
    kind = wanted_kind(goal, memory)
    return f"another {kind}" if goal.kind == "two" and home_of_two(goal, memory) else a(kind)


def home_of_two(goal: TaskGoal, memory: Memory) -> str | None:
    """The place of the first of two things, where the second must go too."""
    placed = [place for _, place in memory.kept(goal.thing) if kind_of(place) == goal.target]
    return max(placed, key=placed.count, default=None)


def _reason(goal: TaskGoal, memory: Memory, action: str, plan: Sequence[str]) -> str:
    if go := _GO.match(action):
        return _going(goal, memory, go[1], plan)
    if take := TAKE.match(action):
        return _taking(goal, memory, take[1])
    if put := PUT.match(action):
        right = kind_of(put[1]) == goal.thing and kind_of(put[2]) == goal.target
        return phrases.set_down(*put.groups()) if right else phrases.put_away(put[1], a(goal.thing), put[2])
    if treat := _TREAT.match(action):
        return phrases.treat_here(treat[2], CONDITION[treat[1]], treat[3])
    if door := _DOOR.match(action):
        return _touching(memory, door[1], door[2])
    return phrases.plainly(action)


def _taking(goal: TaskGoal, memory: Memory, thing: str) -> str:
    kind = kind_of(thing)
    return phrases.found(thing, need_of(goal, memory) if kind == goal.thing else a(kind))


def _touching(memory: Memory, verb: str, entity: str) -> str:
    if verb == "open":
        return phrases.shut(entity)
    if verb == "close":
        return phrases.close(entity)
    return phrases.light(memory.held, entity) if verb == "use" else phrases.look_closer(entity)


def _going(goal: TaskGoal, memory: Memory, place: str, plan: Sequence[str]) -> str:
    kind, held, need = wanted_kind(goal, memory), memory.held, need_of(goal, memory)
    if held and kind_of(held) != goal.thing:
        return phrases.carry_away(held, a(goal.thing), place)
    if held and goal.kind != "light":
        return _bringing(goal, memory, held, place)
    known = [thing for thing in memory.contents.get(place, ()) if kind_of(thing) == kind]
    if known and held:
        return phrases.to_light(held, known[0], place)
    if known:
        return phrases.recalled(known[0], need, place)
    if memory.fresh:
        return phrases.search_plan(need, plan or (place,))
    return phrases.not_here(need, memory.here if memory.here in memory.contents else None, place)


def _bringing(goal: TaskGoal, memory: Memory, held: str, place: str) -> str:
    if goal.condition and kind_of(place) == goal.appliance and not memory.is_(held, goal.condition):
        return phrases.treat_there(held, goal.condition, place)
    if kind_of(place) == goal.target:
        return phrases.deliver(held, goal.condition if memory.is_(held, goal.condition) else None, place)
    return phrases.carry_away(held, a(goal.target), place)
