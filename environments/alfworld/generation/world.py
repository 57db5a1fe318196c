"""`alfworld-generated`: any number of distinct solvable games of the six ALFWorld task types.

train, validation and seen share the layouts of the training pool, each with its own goals and placements; unseen has
layouts and (object type, target type) goal pairs that occur in none of the other three. Drawing a game takes a few
tenths of a millisecond; a game is compiled when it is first played.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from environments.alfworld.catalog import CAN_CONTAIN, PLACES
from environments.alfworld.environment import NOTHING, AlfworldEnvironment
from environments.alfworld.generation.drawing import (
    MAX_COPIES,
    TASK_TYPES,
    draw_household,
    max_receptacles,
    split_of,
)
from environments.alfworld.generation.problem import make_payload, read_payload
from environments.alfworld.texts import grounding, thoughts
from environments.alfworld.texts.briefing import briefing
from environments.alfworld.texts.phrases import STATES
from environments.base import Environment, EnvironmentFault, Task
from environments.versions import FIRST_VERSION
from steca.action_formats import ActionFormat

NAME = "alfworld-generated"
_ATTEMPTS = 2000


class GeneratedAlfworld:
    """Options: `receptacles` and `objects` in each game (8 and 8)."""

    name = NAME
    ids_cover_data = True
    version = FIRST_VERSION
    no_action = NOTHING

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Raises EnvironmentFault for an unknown option or an impossible size."""
        unknown = sorted(set(options) - {"receptacles", "objects"})
        if unknown:
            raise EnvironmentFault(f"{NAME} has no option {unknown[0]!r}; it has receptacles and objects")
        self._receptacles = _whole("receptacles", options.get("receptacles", 8), 6, 12)
        self._objects = _whole("objects", options.get("objects", 8), 3, 16)

    def tasks(self, split: str, count: int, seed: int) -> list[Task]:
        """The first `count` games of an endless list: the six task types in rotation, no game twice."""
        size = f"{self._receptacles} x {self._objects}"
        rng = random.Random(f"games of {size}, {split}, {seed}")
        drawn: set[bytes] = set()
        return [self._draw(split, TASK_TYPES[at % len(TASK_TYPES)], rng, drawn) for at in range(count)]

    def environment(self) -> Environment:
        return AlfworldEnvironment()

    def briefing(self, task: Task, example: bool, form: ActionFormat) -> str:
        return briefing("put", example, form)

    reflect = staticmethod(thoughts.reflect)
    ungrounded = staticmethod(grounding.ungrounded)

    def vocabulary(self) -> list[str]:
        """Every entity name that these games can show, all type names, and the words for states."""
        types = sorted({*CAN_CONTAIN, *PLACES})
        entities = [
            f"{name.lower()} {number}"
            for name in types
            for number in range(1, (MAX_COPIES if name in PLACES else max_receptacles(name)) + 1)
        ]
        return [*entities, *(name.lower() for name in types), *STATES]

    def _draw(self, split: str, task_type: str, rng: random.Random, drawn: set[bytes]) -> Task:
        unseen = split == "unseen"
        for _ in range(_ATTEMPTS):
            household = draw_household(task_type, unseen, self._receptacles, self._objects, rng)
            digest = household.digest()
            if digest not in drawn and (unseen or split_of(digest) == split):
                drawn.add(digest)
                payload = make_payload(household, rng)
                identity = f"generated-{split}-{sha256(payload.encode()).hexdigest()[:16]}"
                return Task(identity, NAME, split, task_type, read_payload(payload)["task"], payload)
        raise EnvironmentFault(
            f"{NAME}: no new {task_type} game for {split} after {len(drawn)} games: ask for fewer, or for more objects"
        )


def _whole(option: str, value: Any, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise EnvironmentFault(
            f"{NAME}: {option} is {value!r}; it must be a whole number from {least} to {most}"
        )
    return value
