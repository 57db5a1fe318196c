"""Reads the official ALFWorld games, in the folder layout of `alfworld-download`.

$ALFWORLD_DATA/json_2.1.1/<split>/<task>/<trial>/game.tw-pddl   domain, problem, grammar, solvable
                                                traj_data.json  task type and parameters
                                                gt_traj.json    the expert's recorded run (where there is one)
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.json_text import parse_json
from environments.alfworld.engine.game import Game, GameError, compile_game
from environments.alfworld.engine.grammar import parse_grammar
from environments.alfworld.texts.dialect import Dialect, dialect_of
from environments.base import EnvironmentFault

LAYOUT = "json_2.1.1"
GET_DATA = "pip install alfworld, run alfworld-download, and set ALFWORLD_DATA to the folder it fills"
GET_AGAIN = "delete the file and run alfworld-download again"
_TEXTS = ("pddl_domain", "grammar", "pddl_problem")


@dataclass(frozen=True)
class GameFile:
    """The content of a complete game.tw-pddl."""

    path: Path
    domain: str
    problem: str
    grammar: str

    def compile(self) -> Game:
        """Raises EnvironmentFault if the PDDL or the grammar is broken."""
        try:
            return compile_game(self.domain, self.problem, self.grammar)
        except GameError as error:
            raise EnvironmentFault(f"{self.path}: {error}; {GET_AGAIN}") from error

    def dialect(self) -> Dialect:
        """Raises EnvironmentFault if the grammar is broken."""
        try:
            actions = parse_grammar(self.grammar).actions
        except (GameError, RecursionError) as error:
            raise EnvironmentFault(f"{self.path}: {error}; {GET_AGAIN}") from error
        return dialect_of({text.template.partition(" ")[0] for text in actions.values()})


def data_folder(folder: Path | None = None) -> Path:
    """The folder that holds `json_2.1.1`: the given one, else $ALFWORLD_DATA; either may start with `~`. Raises
    EnvironmentFault if there is none."""
    named = os.path.expanduser(folder or os.environ.get("ALFWORLD_DATA", ""))
    if not named:
        raise EnvironmentFault(
            f"the official ALFWorld games are needed, but ALFWORLD_DATA is not set: {GET_DATA}"
        )
    if not (Path(named) / LAYOUT).is_dir():
        raise EnvironmentFault(f"{named} holds no ALFWorld games (no folder {LAYOUT} in it): {GET_DATA}")
    return Path(named)


class NotPlayable(EnvironmentFault):
    """A complete game that is not marked as solvable: the official loader leaves such games out."""

    def __init__(self, file: Path, defect: str) -> None:
        super().__init__(f"{file}: the game {defect}; leave it out of the task list")
        self.defect = defect


def read_game(path: Path) -> GameFile:
    """Read a game file, or the one in a trial's folder. Raises NotPlayable, or EnvironmentFault with file, defect and
    remedy if the file is damaged."""
    file = path / "game.tw-pddl" if path.is_dir() else path
    data = read_json(file)
    missing = [key for key in _TEXTS if not isinstance(data, dict) or key not in data]
    if missing:
        raise EnvironmentFault(f"{file}: the game lacks the key {missing[0]!r}; {GET_AGAIN}")
    domain, grammar, problem = (data[key] for key in _TEXTS)
    if not all(isinstance(text, str) for text in (domain, grammar, problem)):
        raise EnvironmentFault(f"{file}: domain, grammar and problem must be texts; {GET_AGAIN}")
    if "solvable" not in data:
        raise NotPlayable(file, "does not say whether it is solvable")
    if not data["solvable"]:
        raise NotPlayable(file, "is marked unsolvable")
    return GameFile(file, domain, problem, grammar)


def read_json(file: Path) -> Any:
    """Raises EnvironmentFault."""
    try:
        return parse_json(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentFault(f"{file}: cannot be read ({error.__class__.__name__}); {GET_AGAIN}") from error
    except ValueError as error:
        raise EnvironmentFault(f"{file}: invalid JSON (the file may be truncated); {GET_AGAIN}") from error


def read_recording(file: Path) -> tuple[str, list[tuple[str, str]]]:
    """(first observation, [(action, observation)]) of a gt_traj.json. Raises EnvironmentFault."""
    entries = read_json(file)
    try:
        first, *rest = [entry["value"] for entry in entries]
        order = [entry["from"] for entry in entries]
        if not all(isinstance(value, str) for value in (first, *rest)):
            raise TypeError("a value is no text")
    except (TypeError, KeyError, ValueError) as error:
        raise EnvironmentFault(f"{file}: not a list of from/value entries; {GET_AGAIN}") from error
    if order != ["human", *["gpt", "human"] * (len(rest) // 2)]:
        raise EnvironmentFault(f"{file}: observations and actions do not alternate; {GET_AGAIN}")
    return first, list(zip(rest[::2], rest[1::2], strict=True))
