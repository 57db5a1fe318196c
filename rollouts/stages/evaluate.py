"""Stage evaluate: greedy episodes on held-out tasks, and calibration success (method section 2.9).

Calibration success needs histories that already hold a deviated turn. They are built once, by executing the warm-up
policy's own mistakes on held-out tasks. Every policy then starts from these histories, and as a control from the same
points without the deviation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from configs.schema import FactoryConfig
from environments.base import Task
from environments.complete import CompleteWorld
from models.policy import Policy
from rollouts.play import (
    EpisodeSettings,
    PlayedEpisode,
    Start,
    execute,
    play,
    sampling_of,
    seed_of,
    start_of,
    with_origin,
)
from rollouts.rows import (
    Demonstration,
    StoredTrajectory,
    demonstrations,
    of_type,
    stored_trajectories,
    task_of,
    trajectory_records,
)
from rollouts.stages.explore import prefix_starts
from steca.vocabulary import EpisodeStart, PolicyRole, Progress
from storage.ids import content_id
from storage.records import EvaluationRecord, Record, TaskRecord

SAMPLED_TURNS = 8
"""Turns sampled per prefix to find one that differs from the expert's; prefixes without one are left out."""


@dataclass(frozen=True, slots=True)
class TestEpisode:
    """A test episode to play: its start, the kind of start, and its task."""

    task: TaskRecord
    kind: EpisodeStart
    start: Start
    expert_steps: int | None


def force_deviations(
    world: CompleteWorld, policy: Policy, records: Sequence[Record], config: FactoryConfig
) -> list[Record]:
    """Rows of trajectories that end in a deviated turn: at one random prefix of each demonstrated task, the warm-up
    policy's first sampled turn whose action is not the expert's. `prefix_steps` is the number of expert turns
    before."""
    settings = EpisodeSettings.of(config, turns=1)
    prefixes = [_random_prefix(world, demo, config.seed, settings) for demo in demonstrations(records)]
    starts = [
        Start(p.task, p.first_observation, p.steps, p.state, seed_of(config.seed, "force", p.task.task_id, i))
        for p, _ in prefixes
        for i in range(SAMPLED_TURNS)
    ]
    sampling = sampling_of(config, temperature=1.0)
    played = play(world, policy, starts, sampling, settings)
    out: list[Record] = []
    for number, (_, expert_action) in enumerate(prefixes):
        tries = played[number * SAMPLED_TURNS : (number + 1) * SAMPLED_TURNS]
        wrong = next((run for run in tries if _deviates(run, expert_action)), None)
        if wrong:
            out += trajectory_records(wrong, "forced_deviation", policy.digest)[1]
    return out


def _random_prefix(
    world: CompleteWorld, demo: Demonstration, seed: int, settings: EpisodeSettings
) -> tuple[Start, str]:
    """A prefix of the expert's run, drawn with a seed of its task, and the expert's next action."""
    starts = prefix_starts(world, demo, settings)
    index = seed_of(seed, "point", demo.task.task_id) % len(starts)
    return starts[index], demo.expert.trajectory.actions[index]


def _deviates(run: PlayedEpisode, expert_action: str) -> bool:
    action = run.trajectory.actions[-1]
    return run.trajectory.end == "running" and action.split() != expert_action.split()


def evaluate(
    world: CompleteWorld,
    policy: Policy,
    records: Sequence[Record],
    config: FactoryConfig,
    role: PolicyRole,
    progress: Progress | None = None,
) -> list[Record]:
    """Rows of every test episode of the batch's tasks: from scratch, and for every forced deviation among the records
    one with the deviated turn and one without."""
    settings = EpisodeSettings.of(config)
    forced = {
        run.record.task_id: run
        for run in stored_trajectories(records)
        if run.record.kind == "forced_deviation"
    }
    lengths = {d.task.task_id: len(d.expert.trajectory.steps) for d in demonstrations(records)}
    episodes: list[TestEpisode] = []
    for row in of_type(records, TaskRecord):
        task = task_of(row)
        starts: list[tuple[EpisodeStart, Start]] = [("task", start_of(world, task))]
        if row.task_id in forced:
            starts += _forced_starts(world, task, forced[row.task_id], settings)
        episodes += [TestEpisode(row, kind, start, lengths.get(row.task_id)) for kind, start in starts]
    starting = [episode.start for episode in episodes]
    played = play(world, policy, starting, sampling_of(config), settings, progress)
    return [
        record
        for episode, run in zip(episodes, played, strict=True)
        for record in _rows(episode, run, policy.digest, role)
    ]


def _forced_starts(
    world: CompleteWorld, task: Task, run: StoredTrajectory, settings: EpisodeSettings
) -> list[tuple[EpisodeStart, Start]]:
    start = start_of(world, task)
    texts = [step.text for step in run.trajectory.steps]
    played = execute(world, start, texts, "expert", settings)
    before = played[-2].resume(task) if len(played) > 1 else start
    after = played[-1].resume(task)
    steps = (*before.steps, *with_origin(after.steps[-1:], "deviation"))
    return [("forced_deviation", replace(after, steps=steps)), ("forced_control", before)]


def _rows(episode: TestEpisode, run: PlayedEpisode, checkpoint: str, role: PolicyRole) -> list[Record]:
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
