"""Stage evaluate: greedy episodes on held-out tasks, and calibration success (method section 2.9).

Calibration success needs histories that already hold a deviated turn. They are made once, from the warm-up
policy's own mistakes on held-out tasks, really executed, and every policy then starts from the same ones; and
from the same points without the deviation, as the control.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from configs.schema import FactoryConfig
from environments.base import Environment, Task, World
from models.policy import Policy
from rollouts.play import Played, Start, Wrapping, as_origin, beginning, execute, play, sampling_of, seed_of
from rollouts.rows import Demonstration, Stored, demonstrations, of_type, stored, task_of, trajectory_records
from rollouts.stages.explore import prefix_starts
from steca.vocabulary import EpisodeStart, PolicyRole, Progress
from storage.ids import content_id
from storage.records import EvaluationRecord, Record, TaskRecord

ATTEMPTS = 8
"""Turns sampled at a point in search of one that differs from the expert's; points without one are left out."""


@dataclass(frozen=True, slots=True)
class Episode:
    """One test episode to play: where it starts, and what it belongs to."""

    task: TaskRecord
    kind: EpisodeStart
    start: Start
    expert_steps: int | None


def force_deviations(
    world: World, policy: Policy, records: Sequence[Record], config: FactoryConfig
) -> list[Record]:
    """Trajectories that end in a deviated turn: at one drawn prefix of each demonstrated task, the warm-up policy's
    first sampled turn whose action is not the expert's. `prefix_steps` is the number of expert turns before it."""
    wrapping = Wrapping.of(config, turns=1)
    environment = world.environment()
    points = [_point(environment, demo, config.seed, wrapping) for demo in demonstrations(records)]
    starts = [
        Start(
            p.task, p.first_observation, p.steps, p.snapshot, seed_of(config.seed, "force", p.task.task_id, i)
        )
        for p, _ in points
        for i in range(ATTEMPTS)
    ]
    sampling = sampling_of(config, temperature=1.0)
    played = play(world, policy, starts, sampling, wrapping)
    out: list[Record] = []
    for number, (_, expert_action) in enumerate(points):
        tries = played[number * ATTEMPTS : (number + 1) * ATTEMPTS]
        wrong = next((run for run in tries if _deviates(run, expert_action)), None)
        if wrong:
            out += trajectory_records(wrong, "forced_deviation", policy.digest)[1]
    return out


def _point(environment: Environment, demo: Demonstration, seed: int, wrapping: Wrapping) -> tuple[Start, str]:
    """A prefix of the expert's run, drawn by the task's own seed, and the expert's action there."""
    starts = prefix_starts(environment, demo, wrapping)
    index = seed_of(seed, "point", demo.task.task_id) % len(starts)
    return starts[index], demo.expert.trajectory.actions[index]


def _deviates(run: Played, expert_action: str) -> bool:
    action = run.trajectory.actions[-1]
    return run.trajectory.end == "running" and action.split() != expert_action.split()


def evaluate(
    world: World,
    policy: Policy,
    records: Sequence[Record],
    config: FactoryConfig,
    role: PolicyRole,
    progress: Progress | None = None,
) -> list[Record]:
    """Rows of every test episode of the batch's tasks: from scratch, and from the forced deviations among the records
    with and without the deviated turn."""
    environment = world.environment()
    wrapping = Wrapping.of(config)
    forced = {run.record.task_id: run for run in stored(records) if run.record.kind == "forced_deviation"}
    lengths = {d.task.task_id: len(d.expert.trajectory.steps) for d in demonstrations(records)}
    episodes: list[Episode] = []
    for row in of_type(records, TaskRecord):
        task = task_of(row)
        starts: list[tuple[EpisodeStart, Start]] = [("task", beginning(environment, task))]
        if row.task_id in forced:
            starts += _forced(environment, task, forced[row.task_id], wrapping)
        episodes += [Episode(row, kind, start, lengths.get(row.task_id)) for kind, start in starts]
    begun = [episode.start for episode in episodes]
    played = play(world, policy, begun, sampling_of(config), wrapping, progress)
    return [
        record
        for episode, run in zip(episodes, played, strict=True)
        for record in _rows(episode, run, policy.digest, role)
    ]


def _forced(
    environment: Environment, task: Task, run: Stored, wrapping: Wrapping
) -> list[tuple[EpisodeStart, Start]]:
    start = beginning(environment, task)
    texts = [step.text for step in run.trajectory.steps]
    played = execute(environment, start, texts, "expert", wrapping)
    before = played[-2].resume(task) if len(played) > 1 else start
    after = played[-1].resume(task)
    steps = (*before.steps, *as_origin(after.steps[-1:], "deviation"))
    return [("forced_deviation", replace(after, steps=steps)), ("forced_control", before)]


def _rows(episode: Episode, run: Played, checkpoint: str, role: PolicyRole) -> list[Record]:
    trajectory_id, rows = trajectory_records(run, "evaluation", checkpoint)
    own = run.trajectory.steps[run.trajectory.prefix :]
    head = EvaluationRecord(
        evaluation_id=content_id(
            "evaluation", checkpoint, role, episode.kind, trajectory_id, episode.expert_steps
        ),
        checkpoint=checkpoint,
        role=role,
        split=episode.task.split,
        start=episode.kind,
        task_id=episode.task.task_id,
        task_type=episode.task.task_type,
        trajectory_id=trajectory_id,
        success=run.trajectory.success,
        n_steps=len(run.trajectory.steps),
        invalid_actions=sum(not step.valid for step in own),
        expert_steps=episode.expert_steps,
    )
    return [head, *rows]
