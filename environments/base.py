"""What a world has to provide: four methods. Everything else is a capability (`environments/capabilities.py`).

    World.tasks(split, count, seed)     its tasks
    World.environment()                 an environment
    Environment.reset(task, seed)       start a task: the first observation
    Environment.step(action)            play one action

The stages use a world through `environments.complete.CompleteWorld`, which fills in what it does not provide. How a
world is found by its name is in `environments/registry.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

SPLITS = ("train", "validation", "seen", "unseen")
"""The splits of a world that names no others. Training tasks come from the first."""


class EnvironmentFault(Exception):
    """A world, task or game cannot be used. The message names it, the defect and what to do."""


class EpisodeFault(EnvironmentFault):
    """One episode cannot be continued: the world's connection failed several times, or the episode, played again, gave
    other answers. The other episodes are not affected."""


@dataclass(frozen=True, slots=True)
class Task:
    """One task. `payload` is all that the world needs to rebuild it, e.g. the JSON of a generated game, or the path of
    a game with the digest of its files: the store alone is enough to play a task again. The id covers everything that
    the world reads for the task: other data, another task. `world` and `split` may be left out: the name of the world,
    and the split that was asked for, are filled in."""

    task_id: str
    world: str = ""
    split: str = ""
    task_type: str = ""
    instruction: str = ""
    payload: str = ""


@dataclass(frozen=True, slots=True)
class StepResult:
    """The world's answer to an action. `reward`, in [0, 1], is the score reached so far; that of the last step is the
    outcome of the episode, and 1 is success. `valid` is False if the action had no effect ("Nothing happens.")."""

    observation: str
    reward: float = 0.0
    done: bool = False
    valid: bool = True


class Environment(Protocol):
    """Plays one episode at a time. Deterministic given task, seed and actions. Used by one thread at a time."""

    def reset(self, task: Task, seed: int) -> str:
        """Start the task's episode, also in the middle of another one; the first observation, which tells the agent
        what to do. Raises EnvironmentFault if the task cannot be loaded."""
        ...

    def step(self, action: str) -> StepResult:
        """Play one action. One that makes no sense is answered (`valid=False`), not raised. Raises ConnectionError or
        TimeoutError if something outside of this process failed: the episode is then played again elsewhere."""
        ...


class World(Protocol):
    """Lists tasks and makes environments. Built with the configuration's `environment.options` (a mapping), or without
    an argument."""

    def tasks(self, split: str, count: int, seed: int) -> list[Task]:
        """`count` distinct tasks of a split, deterministic in (split, seed); a larger count extends a smaller one.
        Splits never share a task. Raises EnvironmentFault if there are too few."""
        ...

    def environment(self) -> Environment:
        """A new environment, independent of the others."""
        ...
