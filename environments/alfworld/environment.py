"""An episode in an ALFWorld game, real or generated, wrapped as in the paper.

The place's name is stripped from what the agent reads on arriving ("You arrive at loc 5. "); a turn that cannot be
read and an action that is not admissible both cost a step and are answered by "Nothing happens.".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from environments.alfworld.engine.game import Game, GameError, State, compile_game
from environments.alfworld.expert.explorer import expert_turn
from environments.alfworld.expert.planner import plan_repair
from environments.alfworld.generation.problem import game_texts
from environments.alfworld.official.located import located
from environments.alfworld.official.reader import read_game
from environments.base import EnvironmentFault, StepResult, Task
from steca.turns import parse_turn
from steca.types import Step, Turn

NOTHING = "Nothing happens."
GENERATED = "alfworld-generated"
_ARRIVAL = re.compile(r"You arrive at [^.]*\. ")


def after_arrival(text: str) -> str:
    """The text without "You arrive at loc 5. " or, in the newer dialect, "You arrive at shelf 1. "."""
    arrival = _ARRIVAL.match(text)
    return text[arrival.end() :] if arrival else text


class Snapshot(NamedTuple):
    """A moment of an episode. Only good for the game it was taken in."""

    game: Game
    state: State
    won: bool


class AlfworldEnvironment:
    """Implements `environments.base.Environment`. `data` is the folder of the real games ($ALFWORLD_DATA if None)."""

    def __init__(self, data: Path | None = None) -> None:
        self._data = data
        self._at: Snapshot | None = None

    def reset(self, task: Task, seed: int = 0) -> str:
        """Start the task's game. It has no randomness: the seed changes nothing. Raises EnvironmentFault."""
        game = compiled(task.world, task.payload, self._data)
        self._at = Snapshot(game, game.initial, game.won(game.initial))
        return game.intro()

    def step(self, turn: str) -> StepResult:
        now = self._now()
        parsed = parse_turn(turn)
        thought, action = parsed or ("", "")
        done = now.game.apply(now.state, action) if parsed else None
        if done is None:
            return StepResult(NOTHING, float(now.won), now.won, False, thought, action)
        state, text = done
        same = now.game.goal.untouched(now.state, state)
        won = now.won if same else now.game.won(state)
        self._at = Snapshot(now.game, state, won)
        return StepResult(after_arrival(text), 1.0 if won else 0.0, won, True, thought, action)

    def snapshot(self) -> Snapshot:
        return self._now()

    def restore(self, snapshot: object) -> None:
        """Raises TypeError for anything but a snapshot of such an environment."""
        if not isinstance(snapshot, Snapshot):
            raise TypeError(f"restore needs a snapshot of an ALFWorld episode, not {type(snapshot).__name__}")
        self._at = snapshot

    def admissible_actions(self) -> list[str]:
        now = self._now()
        return list(_commands(now.game, now.state))

    def progress(self) -> float:
        now = self._now()
        return now.game.progress(now.state)

    def expert_turn(self, first_observation: str, steps: Sequence[Step]) -> Turn | None:
        return expert_turn(first_observation, steps, self._now().game.dialect)

    def plan_repair(self) -> list[Turn] | None:
        now = self._now()
        return plan_repair(now.game, now.state)

    def _now(self) -> Snapshot:
        if self._at is None:
            raise EnvironmentFault("the ALFWorld environment has no episode yet: call reset(task) first")
        return self._at


@lru_cache(maxsize=256)
def compiled(world: str, payload: str, data: Path | None = None) -> Game:
    """The game of a task's payload; the last few hundred are kept. Raises EnvironmentFault."""
    if world != GENERATED:
        return read_game(located(data, payload)).compile()
    try:
        return compile_game(*game_texts(payload))
    except GameError as error:
        raise EnvironmentFault(
            f"a generated game cannot be compiled: {error}; generate the tasks again"
        ) from error


@lru_cache(maxsize=4096)
def _commands(game: Game, state: State) -> tuple[str, ...]:
    return tuple(game.commands(state))
