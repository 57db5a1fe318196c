"""Why this action now: the thought for an action, from the visible history up to it and nothing else.

The expert that decides on its own and the composer that explains recorded actions both speak through `narrate`,
so their demonstrations read alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from environments.alfworld.expert.aims import Aim, kind_of
from environments.alfworld.expert.memory import CONDITION, Memory
from environments.alfworld.texts import phrases
from environments.alfworld.texts.phrases import a

_GO = re.compile(r"go to ([a-z]+ \d+)$")
_TAKE = re.compile(r"take ([a-z]+ \d+) from ([a-z]+ \d+)$")
_PUT = re.compile(r"(?:put|move) ([a-z]+ \d+) (?:in/on|to) ([a-z]+ \d+)$")
_TREAT = re.compile(r"(clean|heat|cool) ([a-z]+ \d+) with ([a-z]+ \d+)$")
_DOOR = re.compile(r"(open|close|examine|use) ([a-z]+ \d+)$")


def narrate(aim: Aim, memory: Memory, action: str, plan: Sequence[str] = ()) -> str:
    """The thought that leads to `action`; `plan` are the places to search, the first one being gone to now."""
    thought = _reason(aim, memory, action, plan)
    return f"{phrases.FAILED} {thought}" if memory.failed else thought


def wanted(aim: Aim, memory: Memory) -> str:
    """The type of thing to look for now: the lamp once the thing to light is in the hand, else the thing."""
    lit = aim.kind == "light" and memory.held is not None and kind_of(memory.held) == aim.thing
    return aim.target if lit else aim.thing


def need_of(aim: Aim, memory: Memory) -> str:
    """What is looked for, with its article: the second of two is "another"."""
    kind = wanted(aim, memory)
    return f"another {kind}" if aim.kind == "two" and home_of_two(aim, memory) else a(kind)


def home_of_two(aim: Aim, memory: Memory) -> str | None:
    """Where the first of two things is already: the second has to come to the very same place."""
    placed = [place for _, place in memory.kept(aim.thing) if kind_of(place) == aim.target]
    return max(placed, key=placed.count, default=None)


def _reason(aim: Aim, memory: Memory, action: str, plan: Sequence[str]) -> str:
    if go := _GO.match(action):
        return _going(aim, memory, go[1], plan)
    if take := _TAKE.match(action):
        return _taking(aim, memory, take[1])
    if put := _PUT.match(action):
        right = kind_of(put[1]) == aim.thing and kind_of(put[2]) == aim.target
        return phrases.set_down(*put.groups()) if right else phrases.put_away(put[1], a(aim.thing), put[2])
    if treat := _TREAT.match(action):
        return phrases.treat_here(treat[2], CONDITION[treat[1]], treat[3])
    if door := _DOOR.match(action):
        return _touching(memory, door[1], door[2])
    return phrases.plainly(action)


def _taking(aim: Aim, memory: Memory, thing: str) -> str:
    kind = kind_of(thing)
    return phrases.found(thing, need_of(aim, memory) if kind == aim.thing else a(kind))


def _touching(memory: Memory, verb: str, entity: str) -> str:
    if verb == "open":
        return phrases.shut(entity)
    if verb == "close":
        return phrases.close(entity)
    return phrases.light(memory.held, entity) if verb == "use" else phrases.look_closer(entity)


def _going(aim: Aim, memory: Memory, place: str, plan: Sequence[str]) -> str:
    kind, held, need = wanted(aim, memory), memory.held, need_of(aim, memory)
    if held and kind_of(held) != aim.thing:
        return phrases.carry_away(held, a(aim.thing), place)
    if held and aim.kind != "light":
        return _bringing(aim, memory, held, place)
    known = [thing for thing in memory.contents.get(place, ()) if kind_of(thing) == kind]
    if known and held:
        return phrases.to_light(held, known[0], place)
    if known:
        return phrases.recalled(known[0], need, place)
    if memory.fresh:
        return phrases.search_plan(need, plan or (place,))
    return phrases.not_here(need, memory.here if memory.here in memory.contents else None, place)


def _bringing(aim: Aim, memory: Memory, held: str, place: str) -> str:
    if aim.condition and kind_of(place) == aim.appliance and not memory.is_(held, aim.condition):
        return phrases.treat_there(held, aim.condition, place)
    if kind_of(place) == aim.target:
        return phrases.deliver(held, aim.condition if memory.is_(held, aim.condition) else None, place)
    return phrases.carry_away(held, a(aim.target), place)
