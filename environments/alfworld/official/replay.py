"""Replays an expert's recorded run: whether the game gives the recorded answers, and is won."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from environments.alfworld.engine.game import Game
from environments.alfworld.official.reader import read_game, read_recording
from environments.alfworld.texts.dialect import after_arrival


@dataclass(frozen=True)
class Replay:
    """`differences`: (recorded, replayed) for each differing answer, the first observation included."""

    answers: int
    differences: tuple[tuple[str, str], ...]
    won: bool


def replay(game: Game, first: str, pairs: list[tuple[str, str]]) -> Replay:
    """Play recorded (action, answer) pairs. An action that is not admissible gives the answer ""."""
    state, seen = game.initial, [(first, game.intro())]
    for action, recorded in pairs:
        state, text = game.apply(state, action) or (state, "")
        seen.append((recorded, after_arrival(text)))
    return Replay(len(seen), tuple(pair for pair in seen if pair[0] != pair[1]), game.won(state))


def replay_folder(folder: Path) -> Replay:
    """Replay a trial's gt_traj.json in its game.tw-pddl. Raises EnvironmentFault."""
    return replay(read_game(folder).compile(), *read_recording(folder / "gt_traj.json"))
