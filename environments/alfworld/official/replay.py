"""Replays an expert's recorded run: does the game answer as it did then, and is it won?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from environments.alfworld.engine.game import Game
from environments.alfworld.environment import after_arrival
from environments.alfworld.official.reader import read_game, read_recording


@dataclass(frozen=True)
class Replay:
    """`differences`: what was recorded and what came, for each answer (the first observation too) that differs."""

    answers: int
    differences: tuple[tuple[str, str], ...]
    won: bool


def replay(game: Game, first: str, pairs: list[tuple[str, str]]) -> Replay:
    """Play recorded (action, answer) pairs. An action that is not admissible now answers ""."""
    state, seen = game.initial, [(first, game.intro())]
    for action, recorded in pairs:
        state, text = game.apply(state, action) or (state, "")
        seen.append((recorded, after_arrival(text)))
    return Replay(len(seen), tuple(pair for pair in seen if pair[0] != pair[1]), game.won(state))


def replay_folder(folder: Path) -> Replay:
    """A trial's game.tw-pddl against its gt_traj.json. Raises EnvironmentFault."""
    return replay(read_game(folder).compile(), *read_recording(folder / "gt_traj.json"))
