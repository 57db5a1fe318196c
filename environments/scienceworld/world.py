"""The world `scienceworld`: its tasks, and the simulator's solutions as demonstrations."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Mapping, Sequence
from itertools import chain, islice, zip_longest
from typing import Any

from environments.base import EnvironmentFault, Task
from environments.cached_files import read_json, write_json
from environments.scienceworld import splits
from environments.scienceworld.briefing import EXAMPLE, briefing
from environments.scienceworld.catalog import TASK_TYPES
from environments.scienceworld.environment import ScienceWorldEnvironment, Variation, variation_of
from environments.scienceworld.gold import LOG_SECONDS, GoldPaths
from environments.scienceworld.package import DATA, data_folder, jar
from environments.scienceworld.simulator import Simulator
from environments.scienceworld.thoughts import compose_thoughts
from environments.scienceworld.vocabulary import NAMES
from steca.action_formats import ActionFormat
from steca.types import Turn

NAME = "scienceworld"
log = logging.getLogger(__name__)


class ScienceWorld:
    """Options: `data`, the folder where the tasks' texts and the solutions are kept (default: the user's cache folder);
    `types`, the names of the task types (default: all 24)."""

    name = NAME
    ids_cover_data = True
    version = "1"
    live_environments = 64
    blocking = True

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        """Raises EnvironmentFault for an unknown option or type, or without the package."""
        options = options or {}
        unknown = sorted(set(options) - {"data", "types"})
        if unknown:
            raise EnvironmentFault(
                f"{NAME} has no option {unknown[0]!r}; it has data (a folder) and types (a list)"
            )
        self._types = _chosen_types(options.get("types"))
        self._jar = jar()
        self._folder = data_folder(options.get("data"))
        self._simulator: Simulator | None = None
        self._lock = threading.Lock()
        self._scratch = ScienceWorldEnvironment(self._running)
        self._gold = GoldPaths(self._folder / "gold", self._scratch)

    def splits(self) -> Sequence[str]:
        return splits.SPLITS

    def tasks(self, split: str, count: int, seed: int) -> list[Task]:
        """The first `count` tasks of the split, in an order drawn with the seed, the task types in rotation."""
        rng = random.Random(f"{split} {seed}")
        numbers = [splits.variations(task_type, split) for task_type in self._types]
        piles = [
            [Variation(task_type, number) for number in rng.sample(pile, len(pile))]
            for task_type, pile in zip(self._types, numbers, strict=True)
        ]
        spread = filter(None, chain.from_iterable(zip_longest(*piles)))
        chosen = list(islice(spread, count))
        if len(chosen) < count:
            raise EnvironmentFault(
                f"{count} {split} tasks were requested, but {NAME} has {len(chosen)} of the chosen types; request fewer"
            )
        return [
            Task(f"{NAME}/{variation.payload}", NAME, split, variation.task_type, text, variation.payload)
            for variation, text in zip(chosen, self._instructions(chosen), strict=True)
        ]

    def environment(self) -> ScienceWorldEnvironment:
        return ScienceWorldEnvironment(self._running)

    def step_cap(self, task: Task) -> int:
        """ETO's."""
        return TASK_TYPES[variation_of(task.payload).task_type].step_cap

    def demonstration(self, task: Task) -> list[Turn] | None:
        """The simulator's solution with composed thoughts; None if it does not win within the task's most steps."""
        path = self._gold.path(variation_of(task.payload))
        if path.reward < 1 or len(path.pairs) > self.step_cap(task):
            return None
        return compose_thoughts(path.first_observation, path.pairs)

    def briefing(self, task: Task, example: bool, form: ActionFormat) -> str:
        task_type = variation_of(task.payload).task_type
        return briefing(task_type, self._gold.path(EXAMPLE) if example else None, form)

    def vocabulary(self) -> list[str]:
        return list(NAMES)

    def close(self) -> None:
        """End the JVM."""
        with self._lock:
            if self._simulator is not None:
                self._simulator.close()
            self._simulator = None

    def _running(self) -> Simulator:
        """The JVM; a new one if there is none, or it has ended."""
        with self._lock:
            if self._simulator is None or not self._simulator.alive:
                self._simulator = Simulator(self._jar)
            return self._simulator

    def _instructions(self, chosen: Sequence[Variation]) -> list[str]:
        """What the tasks are. Only the simulator knows; its answers are kept in a file."""
        file = self._folder / "instructions.json"
        with self._gold.lock:
            known: dict[str, str] = read_json(file) or {}
            missing = [variation for variation in chosen if variation.payload not in known]
            said = time.monotonic()
            for at, variation in enumerate(missing):
                known[variation.payload] = self._scratch.start(variation).rpartition("\n")[2]
                if time.monotonic() - said >= LOG_SECONDS:
                    said = time.monotonic()
                    log.info("%s: asked the simulator for %d of %d tasks", NAME, at + 1, len(missing))
            if missing:
                write_json(file, known, DATA)
        return [known[variation.payload] for variation in chosen]


def _chosen_types(named: Any) -> list[str]:
    """Raises EnvironmentFault for what is not a list of known names."""
    if named is None:
        return list(TASK_TYPES)
    if not isinstance(named, list) or not named or not all(isinstance(name, str) for name in named):
        raise EnvironmentFault(
            f"{NAME}: types must be a list of task types, e.g. [boil, melt], and not {named!r}"
        )
    unknown = [name for name in named if name not in TASK_TYPES]
    if unknown:
        raise EnvironmentFault(f"{NAME} has no task type {unknown[0]!r}; it has {', '.join(TASK_TYPES)}")
    return list(dict.fromkeys(named))
