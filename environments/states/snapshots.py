"""States that are the environment's own snapshots."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar, cast

from environments.base import Environment, StepResult, Task
from environments.capabilities import Closes, Snapshots
from environments.states.attempts import Failures, attempted
from environments.states.calling import reset, step
from environments.states.state import State

T = TypeVar("T")


class SnapshotStates:
    """See environments.states.state.States. Any free environment can continue any state."""

    def __init__(self, make: Callable[[], Environment], failures: Failures) -> None:
        self._make, self._failures = make, failures
        self._free: list[Environment] = []

    def begin(self, task: Task, seed: int) -> tuple[str, State]:
        def work(environment: Environment) -> tuple[str, State]:
            first = reset(environment, task, seed)
            return first, State(task, seed, cast(Snapshots, environment).snapshot())

        return attempted(task, lambda: self._with_environment(work), self._failures)

    def advance(self, state: State, action: str) -> tuple[StepResult, State]:
        def work(environment: Environment) -> tuple[StepResult, State]:
            snapshots = cast(Snapshots, environment)
            snapshots.restore(state.inner)
            result = step(environment, state.task, action)
            return result, State(state.task, state.seed, snapshots.snapshot(), result.reward)

        return attempted(state.task, lambda: self._with_environment(work), self._failures, action)

    def ask(self, state: State, question: Callable[[Environment], T]) -> T:
        def work(environment: Environment) -> T:
            cast(Snapshots, environment).restore(state.inner)
            return question(environment)

        return attempted(state.task, lambda: self._with_environment(work), self._failures)

    def ended(self, state: State) -> None:
        """Environments stand nowhere here."""

    def close(self) -> None:
        while self._free:
            close_quietly(self._free.pop())

    def _with_environment(self, work: Callable[[Environment], T]) -> T:
        """Work with a free environment. One that raises is closed, as its state is unknown."""
        try:
            environment = self._free.pop()
        except IndexError:
            environment = self._make()
        try:
            result = work(environment)
        except BaseException:
            close_quietly(environment)
            raise
        self._free.append(environment)
        return result


def close_quietly(environment: object) -> None:
    """Close an environment that may be broken already."""
    if isinstance(environment, Closes):
        with suppress(Exception):  # whatever it raises, it is not used again
            environment.close()
