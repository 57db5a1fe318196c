"""What the agent knows from the visible history: where it stands, what it holds, what lies where."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from environments.alfworld.expert.instruction import CONDITION, kind_of

_ENTITY = r"([a-z]+ \d+)"
_LISTED = re.compile(rf"\ban? {_ENTITY}")
_CONTENTS = re.compile(rf"(?:On the {_ENTITY}, you see|The {_ENTITY} is open\. In it, you see) ([^.]*)\.")
_CLOSED = re.compile(rf"The {_ENTITY} is closed\.")
_CLOSE = re.compile(rf"You close the {_ENTITY}\.")
_TAKE = re.compile(rf"You pick up the {_ENTITY} from the {_ENTITY}\.")
_PUT = re.compile(rf"You (?:put|move) the {_ENTITY} (?:in/on|to) the {_ENTITY}\.")
_TREAT = re.compile(rf"You (clean|heat|cool) the {_ENTITY} using the {_ENTITY}\.")
_SLICE = re.compile(rf"You sliced the {_ENTITY} with the {_ENTITY}\.")
_CARRYING = re.compile(rf"You are carrying: an? {_ENTITY}\.")


@dataclass(slots=True)
class Memory:
    """`contents` has a receptacle once its contents were seen. None stands for an unknown place and for an empty hand.
    `refused`: actions without effect, each with the place where it was tried and the thing held.
    `fresh`: no place was looked at since the agent last changed something, so a new search plan is due.
    `failed`: the last turn had no effect."""

    places: list[str]
    here: str | None = None
    held: str | None = None
    contents: dict[str, list[str]] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    conditions: set[tuple[str, str]] = field(default_factory=set)  # (object, "hot")
    refused: set[tuple[str, str | None, str | None]] = field(default_factory=set)
    fresh: bool = True
    failed: bool = False

    def allowed(self, action: str) -> bool:
        """Whether the action has not failed before in this place with this thing in the hand."""
        return (action, self.here, self.held) not in self.refused

    def kept(self, kind: str) -> list[tuple[str, str]]:
        """(object, receptacle) for every object of a type last seen in a receptacle, in listing order."""
        return [
            (thing, place)
            for place in self.places
            for thing in self.contents.get(place, ())
            if kind_of(thing) == kind
        ]

    def is_(self, thing: str, condition: str | None) -> bool:
        return condition is None or (thing, condition) in self.conditions

    def observe(self, action: str, observation: str) -> None:
        """Update the memory with one executed step."""
        self.failed = False
        if self._seen(action, observation):
            self.fresh = False
        elif not self._changed(observation):
            self._other(action, observation)

    def _seen(self, action: str, observation: str) -> bool:
        shown, shut = _CONTENTS.search(observation), _CLOSED.search(observation)
        if shown:
            place = shown[1] or shown[2]
            self.contents[place] = _LISTED.findall(shown[3])
            self.closed.discard(place)
        elif shut:
            place = shut[1]
            self.closed.add(place)
        else:
            return False
        self.here = place
        if action.startswith("open "):
            self._forgive()
        return True

    def _changed(self, observation: str) -> bool:
        if taken := _TAKE.search(observation):
            self._forget(taken[1])
            self.held, self.here = taken[1], taken[2]
        elif put := _PUT.search(observation):
            self.held, self.here = None, put[2]
            self.contents.setdefault(put[2], []).append(put[1])
        elif treated := _TREAT.search(observation):
            self._treat(treated[2], CONDITION[treated[1]])
            self.here = treated[3]
        elif sliced := _SLICE.search(observation):
            self.conditions.add((sliced[1], "sliced"))
        else:
            return False
        self.fresh = True
        return True

    def _other(self, action: str, observation: str) -> None:
        if closed := _CLOSE.search(observation):
            self.closed.add(closed[1])
            self._forgive()
        elif carried := _CARRYING.search(observation):
            self.held = carried[1]
        elif "not carrying" in observation:
            self.held = None
        elif "Nothing happens" in observation:
            self.failed = True
            self.refused.add((action, self.here, self.held))

    def _forget(self, thing: str) -> None:
        for things in self.contents.values():
            if thing in things:
                things.remove(thing)

    def _treat(self, thing: str, condition: str) -> None:
        undone = {"hot": "cool", "cool": "hot"}.get(condition)
        self.conditions.discard((thing, undone or ""))
        self.conditions.add((thing, condition))

    def _forgive(self) -> None:
        """Forget refusals at this place: after opening or closing it, they may no longer hold."""
        self.refused = {entry for entry in self.refused if entry[1] != self.here}


def remember(first_observation: str, past: Iterable[tuple[str, str]]) -> Memory:
    """The memory after a history of (action, observation) pairs, whoever acted."""
    memory = Memory(_LISTED.findall(first_observation.partition("Your task is to:")[0]))
    for action, observation in past:
        memory.observe(action, observation)
    return memory
