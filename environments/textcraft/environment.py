"""An episode of TextCraft. A command that makes no sense costs a step, and the answer says why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from environments.base import EnvironmentFault, StepResult, Task
from environments.textcraft.game import Game, game_of
from environments.textcraft.planner import plan
from environments.textcraft.rules import RefusedError, State, admissible, apply, initial, progress
from environments.textcraft.thoughts import expert_turn, told
from steca.types import Step, Turn


class Snapshot(NamedTuple):
    """The state of an episode, with its game."""

    game: Game
    state: State


class TextcraftEnvironment:
    """Implements `environments.base.Environment`, and the capabilities Snapshots, MeasuresProgress, AdmitsActions,
    Expert and Planner."""

    def __init__(self) -> None:
        self._at: Snapshot | None = None

    def reset(self, task: Task, seed: int) -> str:
        """Start the task. Nothing in it is random: the seed has no effect. Raises EnvironmentFault."""
        game = game_of(task.payload)
        self._at = Snapshot(game, initial(game))
        return game.intro()

    def step(self, action: str) -> StepResult:
        game, state = self._now()
        try:
            state, observation = apply(game, state, action)
        except RefusedError as refusal:
            return self._result(str(refusal), valid=False)
        self._at = Snapshot(game, state)
        return self._result(observation, valid=True)

    def snapshot(self) -> Snapshot:
        return self._now()

    def restore(self, snapshot: object) -> None:
        """Raises TypeError for anything but a `Snapshot`."""
        if not isinstance(snapshot, Snapshot):
            raise TypeError(f"restore needs a snapshot of a TextCraft episode, not {type(snapshot).__name__}")
        self._at = snapshot

    def progress(self) -> float:
        """Share of the goal's pieces that were crafted."""
        return progress(*self._now())

    def admissible_actions(self) -> list[str]:
        """Every command that is accepted now, in the order of the recipe's ingredients. Raises EnvironmentFault if
        there are too many to list, as in long tasks of TextCraft-Synth."""
        return admissible(*self._now())

    def expert_turn(self, first_observation: str, steps: Sequence[Step]) -> Turn | None:
        return expert_turn(first_observation, steps)

    def plan_repair(self) -> list[Turn] | None:
        now = self._now()
        commands = plan(*now)
        return None if commands is None else told(*now, commands)

    def _result(self, observation: str, valid: bool) -> StepResult:
        done = self.progress() == 1.0
        return StepResult(observation, float(done), done, valid)

    def _now(self) -> Snapshot:
        if self._at is None:
            raise EnvironmentFault(
                "the TextCraft environment has no episode yet: call reset(task, seed) first"
            )
        return self._at
