"""An episode of VirtualHome in text. A command that is refused, or makes no sense, changes nothing and costs a step."""

from __future__ import annotations

from typing import Any, NamedTuple

from environments.base import EnvironmentFault, StepResult, Task
from environments.virtualhome.commands import parse_command
from environments.virtualhome.episodes import Opened, opened, progress
from environments.virtualhome.seeing import look
from environments.virtualhome.simulator import execute
from environments.virtualhome.texts import observation

NOTHING = "Nothing happens."


class Snapshot(NamedTuple):
    """The simulator's state, which later steps do not change, with its task."""

    task: Opened
    state: Any


class VirtualhomeEnvironment:
    """Implements `environments.base.Environment`, and the capabilities Snapshots and MeasuresProgress."""

    def __init__(self) -> None:
        self._at: Snapshot | None = None

    def reset(self, task: Task, seed: int) -> str:
        """Nothing in it is random: the seed has no effect. Raises EnvironmentFault."""
        found = opened(task.payload)
        self._at = Snapshot(found, found.state)
        return found.first

    def step(self, action: str) -> StepResult:
        task, state = self._now()
        command = parse_command(action)
        after = execute(task.home, state, command) if command else None
        if after is None:
            return self._result(NOTHING, valid=False)
        self._at = Snapshot(task, after)
        return self._result(observation(look(task.home, after)), valid=True)

    def snapshot(self) -> Snapshot:
        return self._now()

    def restore(self, snapshot: object) -> None:
        """Raises TypeError for anything but a `Snapshot`."""
        if not isinstance(snapshot, Snapshot):
            raise TypeError(
                f"restore needs a snapshot of a VirtualHome episode, not {type(snapshot).__name__}"
            )
        self._at = snapshot

    def progress(self) -> float:
        """Share of the goal's facts that are as they must be."""
        return progress(*self._now())

    def _result(self, text: str, valid: bool) -> StepResult:
        done = self.progress() == 1.0
        return StepResult(text, float(done), done, valid)

    def _now(self) -> Snapshot:
        if self._at is None:
            raise EnvironmentFault(
                "the VirtualHome environment has no episode yet: call reset(task, seed) first"
            )
        return self._at
