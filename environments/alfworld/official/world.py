"""The world `alfworld`: the official games, their splits, and the experts' recorded runs.

The digest of a game's path decides between train and validation (one in ten official training games, whichever games
are present); seen is valid_seen, unseen is valid_unseen.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

from environments.alfworld.engine.game import TASK_MARK
from environments.alfworld.environment import NOTHING, AlfworldEnvironment
from environments.alfworld.official.reader import (
    GET_AGAIN,
    GET_DATA,
    LAYOUT,
    NotPlayable,
    data_folder,
    read_game,
    read_recording,
)
from environments.alfworld.official.trials import trial_folder, with_digest
from environments.alfworld.texts import grounding, thoughts
from environments.alfworld.texts.briefing import briefing
from environments.alfworld.texts.dialect import Dialect
from environments.alfworld.texts.phrases import STATES
from environments.alfworld.texts.thoughts import compose_thoughts
from environments.base import EnvironmentFault, Task
from environments.versions import FIRST_VERSION
from steca.action_formats import ActionFormat
from steca.types import Turn

NAME = "alfworld"
HELD_OUT = 10  # one train game in this many belongs to validation
_FOLDERS: Mapping[str, str] = {
    "train": "train",
    "validation": "train",
    "seen": "valid_seen",
    "unseen": "valid_unseen",
}


class RealAlfworld:
    """Options: `data`, the folder that holds json_2.1.1 (default: $ALFWORLD_DATA); `expert`, whose runs are the
    demonstrations: `recorded` with the games (default), or `exploring`, played by our own expert. The recorded runs
    search in an order that nothing visible explains; the exploring expert's order can be learned."""

    name = NAME
    ids_cover_data = True
    version = FIRST_VERSION
    no_action = NOTHING

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Raises EnvironmentFault for an unknown option or missing data."""
        unknown = sorted(set(options) - {"data", "expert"})
        if unknown:
            raise EnvironmentFault(f"{NAME} has no option {unknown[0]!r}; it has data (a folder) and expert")
        self._expert = options.get("expert", "recorded")
        if self._expert not in ("recorded", "exploring"):
            raise EnvironmentFault(f"{NAME}: expert is {self._expert!r}; it must be recorded or exploring")
        self._data = data_folder(Path(options["data"]) if options.get("data") else None)
        self._looked_at: dict[str, dict[str, str]] = {}
        """By split and game: why the game was left out, "" if it was not."""

    def tasks(self, split: str, count: int, seed: int) -> list[Task]:
        """The first `count` of the split's games, in an order drawn with the seed, the task types in rotation."""
        found = (self._task(path, split) for path in _spread(_games(self._data, split), f"{split} {seed}"))
        tasks = list(islice((task for task in found if task), count))
        if len(tasks) < count:
            left_out = "".join(f" ({line})" for line in self.remarks() if f" {split} games " in line)
            raise EnvironmentFault(
                f"{count} {split} tasks were requested, but {self._data / LAYOUT} has {len(tasks)}{left_out}; request "
                "fewer"
            )
        return tasks

    def remarks(self) -> list[str]:
        """Which games were left out of the listed tasks, and why: one line per split and reason."""
        lines = []
        for split, games in self._looked_at.items():
            for defect in dict.fromkeys(filter(None, games.values())):
                paths = [path for path, found in games.items() if found == defect]
                which = f"{len(paths)} of the {len(games)} {split} games looked at"
                lines.append(f"left out {which}, as the official loader does: it {defect}, e.g. {paths[0]}")
        return lines

    def environment(self) -> AlfworldEnvironment:
        return AlfworldEnvironment(self._data)

    def demonstration(self, task: Task) -> list[Turn] | None:
        """The recorded run with composed thoughts; None if the game has none or `expert` is exploring."""
        file = trial_folder(self._data, task.payload) / "gt_traj.json"
        if self._expert == "exploring" or not file.exists():
            return None
        first, pairs = read_recording(file)
        return compose_thoughts(first, pairs)

    def briefing(self, task: Task, example: bool, form: ActionFormat) -> str:
        return briefing(_dialect(self._data, task.payload), example, form)

    reflect = staticmethod(thoughts.reflect)
    ungrounded = staticmethod(grounding.ungrounded)

    def vocabulary(self) -> list[str]:
        """Entity names in the recordings of the train games (without validation), their types, and the words for
        states."""
        return list(_vocabulary(self._data))

    def data_digest(self) -> str:
        """The digest of the vocabulary, which comes from all train games, not only from those of the tasks."""
        return hashlib.sha256("\n".join(self.vocabulary()).encode()).hexdigest()[:16]

    def _task(self, path: str, split: str) -> Task | None:
        """None for a game that the official loader leaves out too. Raises EnvironmentFault for a damaged file."""
        looked_at = self._looked_at.setdefault(split, {})
        try:
            game = read_game(self._data / path)
        except NotPlayable as fault:
            looked_at[path] = fault.defect
            return None
        looked_at[path] = ""
        instruction = re.search(rf'{TASK_MARK}([^"]*?)\.?"', game.grammar)
        if not instruction:
            raise EnvironmentFault(
                f"{self._data / path}: the grammar does not say what the task is; {GET_AGAIN}"
            )
        game_and_digest = with_digest(self._data, path)
        identity = f"{NAME}/{game_and_digest}"
        return Task(identity, NAME, split, _task_type(path), instruction[1].strip(), game_and_digest)


@lru_cache(maxsize=1 << 16)
def _dialect(data: Path, payload: str) -> Dialect:
    return read_game(trial_folder(data, payload)).dialect()


def _task_type(path: str) -> str:
    """.../pick_and_place_simple-Mug-None-Desk-307/trial_x -> pick_and_place_simple"""
    return path.split("/")[-2].partition("-")[0]


@lru_cache(maxsize=8)
def _games(data: Path, split: str) -> tuple[str, ...]:
    """Trial folders relative to `data`, sorted. Games with movable receptacles or slicing are left out, as in
    the official loader: their goals are not those of the six task types."""
    folder = data / LAYOUT / _FOLDERS[split]
    if not folder.is_dir():
        raise EnvironmentFault(f"the {split} games are not in {folder}: {GET_DATA}")
    paths = sorted(str(file.parent.relative_to(data)) for file in folder.glob("*/*/game.tw-pddl"))
    paths = [path for path in paths if "movable" not in path and "Sliced" not in path]
    if split in ("train", "validation"):
        paths = [path for path in paths if _held_out(path) == (split == "validation")]
    return tuple(paths)


def _held_out(path: str) -> bool:
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:8]) % HELD_OUT == 0


def _spread(paths: tuple[str, ...], seed: str) -> list[str]:
    """All paths: one of each task type in rotation, each type's in an order drawn with the seed."""
    by_type: dict[str, list[str]] = {}
    for path in paths:
        by_type.setdefault(_task_type(path), []).append(path)
    rng = random.Random(seed)
    piles = [rng.sample(pile, len(pile)) for _, pile in sorted(by_type.items())]
    return [path for path in chain.from_iterable(zip_longest(*piles)) if path is not None]


@lru_cache(maxsize=2)
def _vocabulary(data: Path) -> tuple[str, ...]:
    entities: set[str] = set()
    for path in _games(data, "train"):
        file = data / path / "gt_traj.json"
        if file.exists():
            first, pairs = read_recording(file)
            entities |= set(re.findall(r"[a-z]+ \d+\b", "\n".join([first, *chain.from_iterable(pairs)])))
    kinds = {entity.partition(" ")[0] for entity in entities}
    return (*sorted(entities), *sorted(kinds), *STATES)
