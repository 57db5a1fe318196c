"""The interface of a world.

A `World` lists tasks and creates environments; an `Environment` plays one episode at a time. Register a new world with
`registry.register`; nothing above this package refers to a world by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from steca.types import Step, Turn
from steca.vocabulary import Split

FIRST_VERSION = "1"
"""The version of every world older than world versions."""


class EnvironmentFault(Exception):
    """A task or game cannot be used. The message names the file or task, the defect and what to do."""


@dataclass(frozen=True, slots=True)
class Task:
    """One task. `payload` is all that the world needs to rebuild it: the JSON of a generated game, or the path of a
    game relative to the data folder with the digest of its files. So the store alone is enough to rebuild a task
    (plus the data folder for official games). The id covers everything the world reads for the task: other data,
    another task."""

    task_id: str
    world: str
    split: Split
    task_type: str
    instruction: str
    payload: str


@dataclass(frozen=True, slots=True)
class StepResult:
    """The world's answer to a turn. `reward`, in [0, 1], is paid at the end only. `valid` is False if the turn was
    unparsable or its action had no effect ("Nothing happens."). `thought` and `action` are as parsed."""

    observation: str
    reward: float
    done: bool
    valid: bool
    thought: str
    action: str


class Environment(Protocol):
    """Plays one episode at a time. Not thread-safe: create one per thread. Deterministic given (task, seed, turns)."""

    def reset(self, task: Task, seed: int = 0) -> str:
        """Start the task's episode; returns the first observation (with the task's instruction).
        Raises EnvironmentFault if the task cannot be loaded."""
        ...

    def step(self, turn: str) -> StepResult:
        """Play one agent turn, the whole text `Thought: ...\\nAction: ...`. An unparsable turn costs a step."""
        ...

    def snapshot(self) -> object:
        """The episode's state, cheap and immutable. It can be restored any number of times."""
        ...

    def restore(self, snapshot: object) -> None: ...

    def admissible_actions(self) -> list[str]:
        """Every action that the world accepts now, sorted."""
        ...

    def progress(self) -> float:
        """Share of the goal's conditions that hold now (or have held, if once is enough), in [0, 1]; 1.0 exactly when
        the goal is reached."""
        ...

    def expert_turn(self, first_observation: str, steps: Sequence[Step]) -> Turn | None:
        """The exploring expert's next turn for any history, also one with mistakes. It uses only what the agent could
        have seen. None if it has no next turn."""
        ...

    def plan_repair(self) -> list[Turn] | None:
        """A short plan to the goal from the *current state*, as turns with grounded thoughts. It may use hidden state.
        None if the goal cannot be reached."""
        ...


class World(Protocol):
    """A registered world: lists tasks and runs them. Two methods are optional. `remarks() -> list[str]`: what a user
    should know about the listed tasks, one line each (`remarks_of`). `data_digest() -> str`: the digest of what the
    world reads besides the data of its tasks (`data_digest_of`)."""

    name: str
    version: str
    """Raise it whenever the same task and turns may give another result: changed rules, texts, experts, thoughts or
    generated games. It is part of every cache key, so no cached result of the old version is reused."""

    def tasks(self, split: Split, count: int, seed: int) -> list[Task]:
        """`count` distinct tasks of a split, deterministic in (split, seed); a larger count extends a smaller one.
        Splits never share a task. Raises EnvironmentFault if there are too few."""
        ...

    def environment(self) -> Environment: ...

    def demonstration(self, task: Task) -> list[Turn] | None:
        """The task's recorded expert run, with grounded thoughts. None if it has none: then
        `Environment.expert_turn` plays the demonstration."""
        ...

    def briefing(self, task: Task, example: bool) -> str:
        """The prompt of a chat model before the task's first observation: how to act, in the commands that the task's
        game understands, and with `example` also one worked episode, really executed, of a task outside all splits.
        Equal tasks get the same text, cached. Raises EnvironmentFault if the task cannot be loaded."""
        ...

    def reflect(
        self, instruction: str, first_observation: str, steps: Sequence[Step], required_action: str
    ) -> str:
        """The offline reflector's thought after a deviated last step, composed from the observations and leading to
        `required_action`."""
        ...

    def ungrounded(
        self,
        first_observation: str,
        instruction: str,
        steps: Sequence[Step],
        required_action: str,
        thought: str,
    ) -> list[str]:
        """The names in a thought that occur neither in the transcript (the instruction, the observations, the agent's
        own actions) nor in the required action. Empty if the thought is grounded."""
        ...

    def vocabulary(self) -> list[str]:
        """Names that become single tokens of a small policy's tokenizer: entities ("shelf 3"), types ("shelf"), and
        words for states ("hot"). The other tokens are learned from the training texts."""
        ...


def remarks_of(world: World) -> list[str]:
    """The world's remarks about the tasks that it listed, e.g. which games it left out."""
    remarks: Callable[[], list[str]] = getattr(world, "remarks", list)
    return remarks()


def data_digest_of(world: World) -> str:
    """The digest of what a world reads besides the data of its tasks (for its vocabulary); "" if nothing."""
    digest: Callable[[], str] = getattr(world, "data_digest", str)
    return digest()
