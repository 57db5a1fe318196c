"""The state of an episode as a value, and what can be asked about it.

The stages branch: many rollouts continue one state. So a state is never changed; `advance` gives a new one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from environments.base import Environment, StepResult, Task

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Where an episode stands. `inner`: the environment's own snapshot, or the last played step. `reward`: the score
    reached so far."""

    task: Task
    seed: int
    inner: object
    reward: float = 0.0


class States(Protocol):
    """Makes states, and continues them. Safe to use from several threads at once."""

    def begin(self, task: Task, seed: int) -> tuple[str, State]:
        """The first observation of a task, and the state at its start."""
        ...

    def advance(self, state: State, action: str) -> tuple[StepResult, State]:
        """What an action leads to."""
        ...

    def ask(self, state: State, question: Callable[[Environment], T]) -> T:
        """The answer of an environment that stands at a state. The question must not change the environment."""
        ...

    def ended(self, state: State) -> None:
        """An episode ended at this state: its environment is wanted there less than those of running ones."""
        ...

    def close(self) -> None:
        """Close all environments."""
        ...
