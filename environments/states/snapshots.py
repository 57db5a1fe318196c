"""States that are the environment's own snapshots."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar, cast

from environments.base import Environment, EpisodeFault, StepResult, Task
from environments.capabilities import Closes, Snapshots
from environments.states.calling import TRANSIENT, reset, step
from environments.states.state import State

T = TypeVar("T")
WAITS = (0.5, 2.0)
"""Seconds before the second and the third attempt of what failed outside of this process."""


def attempted(what: str, work: Callable[[], T]) -> T:
    """The result of work that is tried again after a transient failure. Raises EpisodeFault after the last one."""
    for wait in (*WAITS, None):
        try:
            return work()
        except TRANSIENT as error:
            if wait is None:
                raise EpisodeFault(
                    f"{what}: {type(error).__name__}: {error} ({len(WAITS) + 1} attempts)"
                ) from error
            time.sleep(wait)
    raise AssertionError("the last attempt returns or raises")


class SnapshotStates:
    """See environments.states.state.States. Any free environment can continue any state."""

    def __init__(self, make: Callable[[], Environment]) -> None:
        self._make = make
        self._free: list[Environment] = []

    def begin(self, task: Task, seed: int) -> tuple[str, State]:
        def work() -> tuple[str, State]:
            with self._environment() as environment:
                first = reset(environment, task, seed)
                return first, State(task, seed, cast(Snapshots, environment).snapshot())

        return attempted(f"task {task.task_id}", work)

    def advance(self, state: State, action: str) -> tuple[StepResult, State]:
        def work() -> tuple[StepResult, State]:
            with self._environment() as environment:
                snapshots = cast(Snapshots, environment)
                snapshots.restore(state.inner)
                result = step(environment, state.task, action)
                return result, State(state.task, state.seed, snapshots.snapshot(), result.reward)

        return attempted(f"task {state.task.task_id}, action {action!r}", work)

    def ask(self, state: State, question: Callable[[Environment], T]) -> T:
        def work() -> T:
            with self._environment() as environment:
                cast(Snapshots, environment).restore(state.inner)
                return question(environment)

        return attempted(f"task {state.task.task_id}", work)

    def close(self) -> None:
        while self._free:
            close_quietly(self._free.pop())

    @contextmanager
    def _environment(self) -> Iterator[Environment]:
        """A free environment. One that raises is closed, as its state is unknown."""
        try:
            environment = self._free.pop()
        except IndexError:
            environment = self._make()
        try:
            yield environment
        except BaseException:
            close_quietly(environment)
            raise
        self._free.append(environment)


def close_quietly(environment: object) -> None:
    """Close an environment that may be broken already."""
    if isinstance(environment, Closes):
        with suppress(Exception):  # whatever it raises, it is not used again
            environment.close()
