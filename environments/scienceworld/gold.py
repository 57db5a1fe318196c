"""The simulator's own solutions: made once, played, and stored with what was answered.

Making one takes a few tenths of a second, and up to 20 s. Each is a file of its own, so a stopped run continues where
it was, and several processes may share the folder. A stored path ends when the task is completed. The attempts to open
doors that are open are left out if it wins without them too.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from environments.cached_files import read_json, write_json
from environments.scienceworld.catalog import SIMPLIFICATION
from environments.scienceworld.environment import ScienceWorldEnvironment, Variation
from environments.scienceworld.package import DATA
from environments.scienceworld.thoughts import DOOR_IS_OPEN

log = logging.getLogger(__name__)
LOG_SECONDS = 20.0


class GoldPath(NamedTuple):
    """`reward` is that of the last step: 1 if the path wins."""

    first_observation: str
    pairs: tuple[tuple[str, str], ...]
    reward: float

    @property
    def actions(self) -> list[str]:
        return [action for action, _ in self.pairs]


class GoldPaths:
    """The solutions in a folder. `environment` is used by one thread at a time."""

    def __init__(self, folder: Path, environment: ScienceWorldEnvironment) -> None:
        self._folder = folder
        self._environment = environment
        self.lock = threading.Lock()  # for whoever uses the environment
        self._made, self._seconds, self._said = 0, 0.0, time.monotonic()

    def path(self, variation: Variation) -> GoldPath:
        """The solution from the folder; made and stored if it is not there. Raises ConnectionError if the JVM ends
        meanwhile."""
        file = self._folder / f"{variation.task_type}-{variation.number}.json"
        stored = _read(file)
        if stored is None:
            with self.lock:
                stored = _read(file) or self._make(variation)
                write_json(file, stored, DATA)
        return stored

    def _make(self, variation: Variation) -> GoldPath:
        began = time.monotonic()
        actions = self._environment.gold_path(variation)
        found = self._play(variation, actions)
        needed = [action for action, observation in found.pairs if observation != DOOR_IS_OPEN]
        if len(needed) < len(found.pairs):
            shorter = self._play(variation, needed)
            found = shorter if shorter.reward >= found.reward else found
        self._tell(variation, time.monotonic() - began)
        return found

    def _play(self, variation: Variation, actions: Sequence[str]) -> GoldPath:
        first, pairs, reward = self._environment.start(variation), [], 0.0
        for action in actions:
            result = self._environment.step(action)
            pairs.append((action, result.observation))
            reward = result.reward
            if result.done:
                break
        return GoldPath(first, tuple(pairs), reward)

    def _tell(self, variation: Variation, seconds: float) -> None:
        """A line at most every 20 s."""
        self._made += 1
        self._seconds += seconds
        if time.monotonic() - self._said >= LOG_SECONDS:
            self._said = time.monotonic()
            log.info(
                "scienceworld: %d solutions made in %.0f s (%s, simplification %s, the last), stored in %s",
                self._made, self._seconds, variation.task_type, SIMPLIFICATION, self._folder,
            )  # fmt: skip


def _read(file: Path) -> GoldPath | None:
    content = read_json(file)
    if content is None:
        return None
    try:
        first, pairs, reward = content
        return GoldPath(str(first), tuple((str(action), str(seen)) for action, seen in pairs), float(reward))
    except (TypeError, ValueError):
        log.warning("%s: not a solution; it is made again", file)
        return None
