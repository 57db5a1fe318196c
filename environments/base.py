"""The interface between a world and everything above it.

A `World` lists tasks and makes environments; an `Environment` runs one episode at a time. Register a new world
with `registry.register`; nothing above this package knows any world by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from steca.types import Step, Turn
from steca.vocabulary import Split

FIRST_VERSION = "1"
"""The version of every world that was there before versions were."""


class EnvironmentFault(Exception):
    """A task or game that cannot be used. The message names the file or task, the defect and what to do."""


@dataclass(frozen=True, slots=True)
class Task:
    """One task. `payload` is all that the world needs to rebuild it: JSON text for a generated game, or the path of a
    game relative to the data folder, with the digest of its files. A task can be rebuilt from the store alone (plus the
    data folder for real games). What a world reads for a task decides the task's id, so that other data are another
    task."""

    task_id: str
    world: str
    split: Split
    task_type: str
    instruction: str
    payload: str


@dataclass(frozen=True, slots=True)
class StepResult:
    """What the world answered. `reward` is paid at the end only, in [0, 1]. `valid` is False where the turn was
    unparsable or its action changed nothing ("Nothing happens."). `thought`/`action` are what was read out."""

    observation: str
    reward: float
    done: bool
    valid: bool
    thought: str
    action: str


class Environment(Protocol):
    """One episode at a time. Not thread-safe; make one per thread. Deterministic given (task, seed, turns)."""

    def reset(self, task: Task, seed: int = 0) -> str:
        """Start the task's episode; returns the first observation (with the task's instruction).
        Raises EnvironmentFault where the task cannot be loaded."""
        ...

    def step(self, turn: str) -> StepResult:
        """Play one agent turn, the whole text `Thought: ...\\nAction: ...`. An unparsable turn costs a step."""
        ...

    def snapshot(self) -> object:
        """The episode's state, cheap and immutable; `restore` may be called on it any number of times."""
        ...

    def restore(self, snapshot: object) -> None: ...

    def admissible_actions(self) -> list[str]:
        """Every action that the world would accept now, sorted."""
        ...

    def progress(self) -> float:
        """Share of the goal's conditions that hold now (or held, for those that must only happen once), in [0, 1];
        1.0 exactly when the goal is reached."""
        ...

    def expert_turn(self, first_observation: str, steps: Sequence[Step]) -> Turn | None:
        """The exploring expert's next turn for the history so far (any history, also one with mistakes in it). It
        uses only what the agent could have seen. None where it knows no way on."""
        ...

    def plan_repair(self) -> list[Turn] | None:
        """A shortest-effort plan to the goal from the *current state*, which may use hidden state; turns with
        grounded thoughts. None where the goal cannot be reached."""
        ...


class World(Protocol):
    """A registered world: where tasks come from, and how to run them. It may also have `remarks() -> list[str]`: what a
    user should know of the tasks that it has listed, one line each (`remarks_of`), and `data_digest() -> str`: of what
    it reads beside the data of its tasks (`data_digest_of`)."""

    name: str
    version: str
    """Raise it whenever the same task and the same turns may give something else: other rules, texts, experts, thoughts
    or generated games. It is part of every cache key, so nothing that the old world gave is taken for the new one's."""

    def tasks(self, split: Split, count: int, seed: int) -> list[Task]:
        """`count` distinct tasks of a split, deterministic in (split, seed); a larger count extends a smaller one.
        Splits never share a task. Raises EnvironmentFault where there are too few."""
        ...

    def environment(self) -> Environment: ...

    def demonstration(self, task: Task) -> list[Turn] | None:
        """The recorded expert run of a task that has one (with grounded thoughts), else None: then the
        demonstration is what `Environment.expert_turn` plays."""
        ...

    def briefing(self, task: Task, example: bool) -> str:
        """What a chat model is told before the task's first observation: how to act, in the words that the task's game
        understands, and with `example` also one worked episode, really executed, of a task of no split. Cheap: equal
        tasks get the very same text. Raises EnvironmentFault where the task cannot be loaded."""
        ...

    def reflect(
        self, instruction: str, first_observation: str, steps: Sequence[Step], required_action: str
    ) -> str:
        """The offline reflector's thought after a deviated last step: composed from what was really observed, and
        leading to `required_action`."""
        ...

    def ungrounded(
        self,
        first_observation: str,
        instruction: str,
        steps: Sequence[Step],
        required_action: str,
        thought: str,
    ) -> list[str]:
        """The names in a thought, whoever wrote it, that stand for nothing in the transcript (the instruction, the
        observations, the agent's own actions) or in the required action. Empty where the thought is grounded."""
        ...

    def vocabulary(self) -> list[str]:
        """Names that a small policy's tokenizer holds as single tokens: entities ("shelf 3"), types ("shelf"), and the
        words for states ("hot"). The wording around them is learned from the training texts."""
        ...


def remarks_of(world: World) -> list[str]:
    """What a world has to say of the tasks that it has listed, e.g. which games it left out; [] where nothing."""
    remarks: Callable[[], list[str]] = getattr(world, "remarks", list)
    return remarks()


def data_digest_of(world: World) -> str:
    """The digest of what a world reads beside the data of its tasks (for its vocabulary); "" where it reads nothing."""
    digest: Callable[[], str] = getattr(world, "data_digest", str)
    return digest()
