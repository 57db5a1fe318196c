"""The goal of a task, parsed from its visible instruction."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

GoalKind = Literal["put", "light", "clean", "heat", "cool", "two"]
CONDITION = {"clean": "clean", "heat": "hot", "cool": "cool"}
"""The state of a thing after each treatment."""


@dataclass(frozen=True, slots=True)
class TaskGoal:
    """`thing` and `target` are type names as the text shows them ("mug", "cabinet"); for `light` the target is the
    lamp. `sliced`: the thing must be sliced first."""

    kind: GoalKind
    thing: str
    target: str
    sliced: bool = False

    @property
    def appliance(self) -> str | None:
        """The receptacle type that the treatment needs."""
        return {"clean": "sinkbasin", "heat": "microwave", "cool": "fridge"}.get(self.kind)

    @property
    def condition(self) -> str | None:
        """The word for the thing's state after the treatment."""
        return CONDITION.get(self.kind)


_THING = r"(?:some |an? |the )?(?P<state>clean |hot |cool )?(?P<sliced>sliced )?(?P<thing>[a-z]+)"
_TARGET = r"(?:an? |the )?(?P<target>[a-z]+)"
_FORMS: tuple[tuple[str, GoalKind], ...] = (
    (rf"(?:look at|examine) {_THING} (?:under|with) {_TARGET}", "light"),
    (rf"find two {_THING} and put them (?:in|on) {_TARGET}", "two"),
    (rf"put two {_THING} (?:in|on) {_TARGET}", "two"),
    (rf"clean {_THING} and put it (?:in|on) {_TARGET}", "clean"),
    (rf"heat {_THING} and put it (?:in|on) {_TARGET}", "heat"),
    (rf"cool {_THING} and put it (?:in|on) {_TARGET}", "cool"),
    (rf"put {_THING} (?:in|on) {_TARGET}", "put"),
)
_STATES: dict[str, GoalKind] = {"clean ": "clean", "hot ": "heat", "cool ": "cool"}


def parse_instruction(text: str) -> TaskGoal | None:
    """The goal of an instruction, or of a first observation that ends with one. None if its form is unknown."""
    instruction = text.rpartition("Your task is to:")[2].strip().lower()
    for pattern, kind in _FORMS:
        found = re.match(pattern, instruction)
        if found:
            kind = _STATES.get(found["state"] or "", kind)
            return TaskGoal(kind, found["thing"], found["target"], bool(found["sliced"]))
    return None


def kind_of(entity: str) -> str:
    """The type of a numbered entity: "mug 2" -> "mug"."""
    return entity.rpartition(" ")[0]
