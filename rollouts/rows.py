"""Converts executed trajectories to the store's rows, and rows back to trajectories."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from environments.base import Task
from environments.complete import CompleteWorld
from rollouts.play import PlayedEpisode
from rollouts.prompting import briefing_of
from steca.rewards import Tally
from steca.types import Step, Trajectory
from steca.vocabulary import PromptStyle, TrajectoryKind
from storage.ids import content_id
from storage.records import (
    DeviationRecord,
    Record,
    RolloutRecord,
    ScoredTurnRecord,
    StepRecord,
    TaskRecord,
    TrajectoryRecord,
)

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class StoredTrajectory:
    """A trajectory read from the store: its row, and the trajectory with its steps."""

    record: TrajectoryRecord
    trajectory: Trajectory

    @property
    def id(self) -> str:
        return self.record.trajectory_id


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A task with the expert's trajectory."""

    task: Task
    expert: StoredTrajectory


@dataclass(frozen=True, slots=True)
class Sample:
    """Which of a task's sampled runs a trajectory is, and how it was sampled."""

    index: int
    temperature: float
    seed: int


def trajectory_id(
    played: PlayedEpisode, kind: TrajectoryKind, checkpoint: str | None, sample: Sample | None = None
) -> str:
    """Digest of every field of the trajectory's rows: the same trajectory by the same policy has the same id. Equal
    runs of one policy that were sampled apart have different ids."""
    how: list[Any] = ["constrained"] if played.constrained else []
    if sample:
        how.append(asdict(sample))
    fields = asdict(played.trajectory)
    for step in fields["steps"]:
        for later in (
            "thinking",
            "thinking_tokens",
        ):  # leaving them out if empty keeps ids from before they existed
            if not step[later]:
                del step[later]
    return content_id("trajectory", fields, played.progress, kind, checkpoint, *how)


def trajectory_records(
    played: PlayedEpisode, kind: TrajectoryKind, checkpoint: str | None, sample: Sample | None = None
) -> tuple[str, list[Record]]:
    """The rows of one trajectory, and its id."""
    trajectory = played.trajectory
    identity = trajectory_id(played, kind, checkpoint, sample)
    head = TrajectoryRecord(
        trajectory_id=identity,
        task_id=trajectory.task_id,
        kind=kind,
        checkpoint=checkpoint,
        prefix_steps=trajectory.prefix,
        first_observation=trajectory.first_observation,
        n_steps=len(trajectory.steps),
        outcome=trajectory.outcome,
        success=trajectory.success,
        end_reason=trajectory.end,
        invalid_actions=sum(not step.valid for step in trajectory.steps),
        progress=played.progress,
        constrained=played.constrained or None,
        sample_index=sample.index if sample else None,
        temperature=sample.temperature if sample else None,
        seed=sample.seed if sample else None,
    )
    return identity, [head, *(_step_record(identity, i, s) for i, s in enumerate(trajectory.steps))]


def _step_record(identity: str, index: int, step: Step) -> StepRecord:
    return StepRecord(
        trajectory_id=identity,
        step_index=index,
        origin=step.origin,
        text=step.text,
        thought=step.thought,
        action=step.action,
        observation=step.observation,
        valid=step.valid,
        tokens=step.tokens,
        thinking=step.thinking or None,
        thinking_tokens=step.thinking_tokens or None,
    )


def of_type(records: Iterable[Record], record_type: type[R]) -> list[R]:
    """The records of one table, in order."""
    return [record for record in records if isinstance(record, record_type)]


def by_task(records: Iterable[Record]) -> dict[str, list[Record]]:
    """The records of each task, tasks and records in order. Steps belong to their trajectory's task, rollouts to that
    of the turn that they continue. Not for records without a task, such as checkpoints."""
    records = list(records)
    own = {row.trajectory_id: row.task_id for row in of_type(records, TrajectoryRecord)}
    own |= {row.step_reward_id: row.task_id for row in of_type(records, ScoredTurnRecord)}
    grouped: dict[str, list[Record]] = {row.task_id: [] for row in of_type(records, TaskRecord)}
    for row in records:
        if isinstance(row, StepRecord):
            task = own[row.trajectory_id]
        elif isinstance(row, RolloutRecord):
            task = own[row.step_reward_id]
        else:
            task = getattr(row, "task_id")  # noqa: B009 - all other records of a task have it
        grouped.setdefault(task, []).append(row)
    return grouped


def sides_of(row: DeviationRecord) -> tuple[Tally, Tally]:
    """The outcomes that eq. 5 compares: of the previous expert turn, and of the explored turn."""
    reference = Tally.stored(row.reference_reward, row.reference_n)
    return reference, Tally.stored(row.explored_reward, row.explored_n)


def suffix_sides_of(row: DeviationRecord) -> tuple[Tally, Tally]:
    """The outcomes that D_s compares: of the expert turn at the same step, and of the explored turn."""
    expert = Tally.stored(row.expert_reward, row.expert_n)
    return expert, Tally.stored(row.explored_reward, row.explored_n)


def stored_trajectories(records: Sequence[Record]) -> list[StoredTrajectory]:
    """Every trajectory among the records, with its steps."""
    steps: dict[str, list[StepRecord]] = {}
    for step in of_type(records, StepRecord):
        steps.setdefault(step.trajectory_id, []).append(step)
    return [StoredTrajectory(head, _trajectory(head, steps)) for head in of_type(records, TrajectoryRecord)]


def _trajectory(head: TrajectoryRecord, steps: dict[str, list[StepRecord]]) -> Trajectory:
    rows = sorted(steps.get(head.trajectory_id, []), key=lambda step: step.step_index)
    return Trajectory(
        head.task_id,
        head.first_observation,
        tuple(map(_step, rows)),
        head.outcome,
        head.end_reason,  # type: ignore[arg-type]
        head.prefix_steps,
    )


def _step(row: StepRecord) -> Step:
    return Step(
        row.text,
        row.thought,
        row.action,
        row.observation,
        row.valid,
        row.origin,
        row.tokens,
        row.thinking or "",
        row.thinking_tokens or 0,
    )


def task_of(record: TaskRecord) -> Task:
    """The task that a row describes."""
    return Task(
        record.task_id, record.world, record.split, record.task_type, record.instruction, record.payload
    )


def briefings_of(world: CompleteWorld, records: Iterable[Record], prompt: PromptStyle) -> dict[str, str]:
    """task id -> the text before its first observation, for every task among the records."""
    return {row.task_id: briefing_of(world, task_of(row), prompt) for row in of_type(records, TaskRecord)}


def demonstrations(records: Sequence[Record]) -> list[Demonstration]:
    """Tasks with a successful expert run, in the order of their rows."""
    experts = {
        s.record.task_id: s
        for s in stored_trajectories(records)
        if s.record.kind == "expert" and s.record.success
    }
    tasks = (task_of(record) for record in of_type(records, TaskRecord))
    return [Demonstration(task, experts[task.task_id]) for task in tasks if task.task_id in experts]


def explorations(records: Sequence[Record]) -> dict[str, dict[int, StoredTrajectory]]:
    """task id -> number j of replayed expert turns -> the run explored from there."""
    runs: dict[str, dict[int, StoredTrajectory]] = {}
    for run in stored_trajectories(records):
        if run.record.kind == "explored":
            runs.setdefault(run.record.task_id, {})[run.record.prefix_steps] = run
    return runs


def sampled_runs(records: Sequence[Record]) -> dict[str, list[StoredTrajectory]]:
    """task id -> its sampled runs, in the order of their sample indices."""
    runs: dict[str, list[StoredTrajectory]] = {}
    for run in stored_trajectories(records):
        if run.record.kind == "sampled":
            runs.setdefault(run.record.task_id, []).append(run)
    return {task: sorted(own, key=lambda run: run.record.sample_index or 0) for task, own in runs.items()}
