"""An episode in an ALFWorld game, official or generated, presented to the agent as in the paper.

The name of the place is stripped from the observation on arrival ("You arrive at loc 5. "). A turn without an action
and an inadmissible action both cost a step, and the answer is "Nothing happens.".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from environments.alfworld.engine.game import Game, GameError, State, compile_game
from environments.alfworld.expert.explorer import expert_turn
from environments.alfworld.expert.planner import plan_repair
from environments.alfworld.generation.problem import game_texts
from environments.alfworld.official.reader import read_game
from environments.alfworld.official.trials import trial_folder
from environments.alfworld.texts.dialect import after_arrival
from environments.base import EnvironmentFault, StepResult, Task
from steca.types import Step, Turn

NOTHING = "Nothing happens."
GENERATED = "alfworld-generated"


class Snapshot(NamedTuple):
    """The state of an episode, with its game."""

    game: Game
    state: State
    won: bool


class AlfworldEnvironment:
    """Implements `environments.base.Environment`, and all capabilities of an environment. `data` is the folder of the
    official games ($ALFWORLD_DATA if None)."""

    def __init__(self, data: Path | None = None) -> None:
        self._data = data
        self._at: Snapshot | None = None

    def reset(self, task: Task, seed: int = 0) -> str:
        """Start the task's game. Games are deterministic: the seed has no effect. Raises EnvironmentFault."""
        game = compiled_game(task.world, task.payload, self._data)
        self._at = Snapshot(game, game.initial, game.won(game.initial))
        return game.intro()

    def step(self, action: str) -> StepResult:
        now = self._now()
        done = now.game.apply(now.state, action)
        if done is None:
            return StepResult(NOTHING, float(now.won), now.won, False)
        state, text = done
        unchanged = now.game.goal.unchanged(now.state, state)
        won = now.won if unchanged else now.game.won(state)
        self._at = Snapshot(now.game, state, won)
        return StepResult(after_arrival(text), 1.0 if won else 0.0, won)

    def snapshot(self) -> Snapshot:
        return self._now()

    def restore(self, snapshot: object) -> None:
        """Raises TypeError for anything but a `Snapshot`."""
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
def compiled_game(world: str, payload: str, data: Path | None = None) -> Game:
    """The compiled game of a task's payload, from an LRU cache. Raises EnvironmentFault."""
    if world != GENERATED:
        return read_game(trial_folder(data, payload)).compile()
    try:
        return compile_game(*game_texts(payload))
    except GameError as error:
        raise EnvironmentFault(
            f"a generated game cannot be compiled: {error}; generate the tasks again"
        ) from error


@lru_cache(maxsize=4096)
def _commands(game: Game, state: State) -> tuple[str, ...]:
    return tuple(game.commands(state))
