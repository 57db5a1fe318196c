"""Stage train, before the training: the weighted examples of D_c, D_e, D_s and expert runs (method section 2.6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from configs.schema import DatasetConfig
from environments.complete import CompleteWorld
from models.prompts import messages
from models.training.examples import Example
from rollouts.prompting import briefing_of
from rollouts.rows import (
    briefings_of,
    demonstrations,
    explorations,
    of_type,
    sampled_runs,
    sides_of,
    stored_trajectories,
    suffix_sides_of,
)
from steca.calibration import CalibratedTrajectory
from steca.datasets import (
    Sources,
    TrainingSample,
    calibrated_sample,
    distinct_successes,
    expert_sample,
    expert_suffix_sample,
    explored_success_sample,
    sampled_sample,
)
from steca.exploration import Exploration
from steca.posterior import drop_probability
from steca.types import Trajectory
from steca.vocabulary import PromptStyle
from steca.weights import Weighting, weighting
from storage.ids import content_id
from storage.records import CalibrationRecord, DeviationRecord, Record, TrainingExampleRecord


def assemble(
    records: Sequence[Record], demonstrated: Sequence[Record], datasets: DatasetConfig
) -> list[TrainingExampleRecord]:
    """The training set of one round. `records` holds the rows of the explored tasks (demonstrations, explorations,
    rewards, deviations, calibrations), `demonstrated` the expert runs of the warm-up."""
    rule = weighting(datasets.weighting, datasets.lam)
    samples: list[TrainingSample] = []
    if datasets.calibrated:
        samples += _calibrated(records, rule)
    if datasets.explored_successes:
        samples += _explored_successes(records, rule)
    if datasets.sampled_successes:
        samples += _sampled_successes(records)
    if datasets.expert_suffixes:
        samples += _expert_suffixes(records, rule)
    if datasets.expert_runs:
        samples += _experts(demonstrated)
    if datasets.explored_expert_runs:
        samples += _experts(records)
    unique = {(s.sources.trajectory_id, s.target_from): s for s in reversed(samples)}
    return [_row(sample) for sample in reversed(unique.values())]


def _calibrated(records: Sequence[Record], rule: Weighting) -> Iterator[TrainingSample]:
    runs = {run.id: run for run in stored_trajectories(records)}
    deviations = {row.deviation_id: row for row in of_type(records, DeviationRecord)}
    for row in of_type(records, CalibrationRecord):
        if not row.kept:
            continue
        deviation = deviations[row.deviation_id]
        explored = runs[deviation.explored_trajectory_id].trajectory
        contrast = explored.actions[deviation.step_index + 1 :]
        calibrated = CalibratedTrajectory(runs[row.trajectory_id].trajectory, deviation.step_index, contrast)
        sources = Sources(
            row.trajectory_id, deviation.explored_trajectory_id, row.deviation_id, row.calibration_id
        )
        probability = drop_probability(*sides_of(deviation), deviation.delta) if rule.by_probability else 1.0
        if contrast:
            yield calibrated_sample(calibrated, rule, sources, drop_probability=probability)
        else:  # the deviated turn was the agent's last: no contrast, so the distance counts as 0
            weight = rule.raised(0.0, probability)
            yield TrainingSample(
                "calibrated", calibrated.trajectory, calibrated.target_from, (), weight, None, sources
            )


def _explored_successes(records: Sequence[Record], rule: Weighting) -> Iterator[TrainingSample]:
    runs = explorations(records)
    for demo in demonstrations(records):
        run = runs.get(demo.task.task_id, {}).get(0)
        if run:
            exploration = Exploration(demo.expert.trajectory, run.trajectory, 0)
            sample = explored_success_sample(exploration, rule, Sources(run.id, demo.expert.id))
            if sample:
                yield sample


def _sampled_successes(records: Sequence[Record]) -> Iterator[TrainingSample]:
    for runs in sampled_runs(records).values():
        ids = {id(run.trajectory): run.id for run in runs}
        for run in distinct_successes(run.trajectory for run in runs):
            yield sampled_sample(run, Sources(ids[id(run)]))


def describe_sampled(records: Sequence[Record]) -> str:
    """One line: the sampled runs, how many succeeded, and how many of these repeat another's actions."""
    runs = [[run.trajectory for run in of_task] for of_task in sampled_runs(records).values()]
    won = sum(run.success for of_task in runs for run in of_task)
    distinct = sum(len(distinct_successes(of_task)) for of_task in runs)
    return (
        f"{sum(map(len, runs))} sampled runs: {won} succeeded, {won - distinct} of them with the actions of another "
        f"one of the same task, so {distinct} are trained on"
    )


def _expert_suffixes(records: Sequence[Record], rule: Weighting) -> Iterator[TrainingSample]:
    better = {
        (row.explored_trajectory_id, row.step_index): row
        for row in of_type(records, DeviationRecord)
        if row.expert_is_better == "yes"
    }
    runs = explorations(records)
    for demo in demonstrations(records):
        for step, run in sorted(runs.get(demo.task.task_id, {}).items()):
            compared = better.get((run.id, step))
            if step and compared is None:
                continue  # from scratch (step 0) the failure alone decides, even if the first turns are equal
            exploration = Exploration(demo.expert.trajectory, run.trajectory, step)
            sources = Sources(demo.expert.id, run.id, compared.deviation_id if compared else None)
            weighs = compared if rule.by_probability else None
            probability = drop_probability(*suffix_sides_of(weighs)) if weighs else 1.0
            sample = expert_suffix_sample(
                exploration, compared is not None, rule, sources, better_probability=probability
            )
            if sample:
                yield sample


def _experts(records: Sequence[Record]) -> Iterator[TrainingSample]:
    for demo in demonstrations(records):
        yield expert_sample(demo.expert.trajectory, Sources(demo.expert.id))


def _row(sample: TrainingSample) -> TrainingExampleRecord:
    sources = sample.sources
    return TrainingExampleRecord(
        example_id=content_id("example", sample.dataset, asdict(sources), sample.target_from, sample.weight),
        dataset=sample.dataset,
        task_id=sample.trajectory.task_id,
        trajectory_id=sources.trajectory_id,
        target_from=sample.target_from,
        weight=sample.weight,
        distance=sample.distance,
        contrast_trajectory_id=sources.contrast_trajectory_id,
        calibration_id=sources.calibration_id,
        deviation_id=sources.deviation_id,
    )


def warmup_examples(
    world: CompleteWorld, records: Sequence[Record], style: PromptStyle, thinking: bool = False
) -> list[Example]:
    """The warm-up's examples: whole expert runs with weight 1. `thinking`: the policy thinks before its turns."""
    return [
        training_example(
            demo.expert.id, demo.expert.trajectory, 0, 1.0, briefing_of(world, demo.task, style), thinking
        )
        for demo in demonstrations(records)
    ]


def training_inputs(
    world: CompleteWorld,
    rows: Sequence[TrainingExampleRecord],
    records: Sequence[Record],
    style: PromptStyle,
    thinking: bool = False,
) -> list[Example]:
    """The trainer's examples for rows of `training_examples`; `records` holds their trajectories and tasks."""
    runs = {run.id: run.trajectory for run in stored_trajectories(records)}
    briefings = briefings_of(world, records, style)
    return [
        training_example(
            row.trajectory_id,
            runs[row.trajectory_id],
            row.target_from,
            row.weight,
            briefings[row.task_id],
            thinking,
        )
        for row in rows
    ]


def training_example(
    name: str, trajectory: Trajectory, target_from: int, weight: float, briefing: str, thinking: bool = False
) -> Example:
    """A trajectory as a conversation, with the steps from `target_from` on as targets."""
    chat = messages(trajectory.first_observation, trajectory.steps, briefing)
    return Example(
        name=name,
        messages=chat,
        targets=[index >= target_from for index in range(len(trajectory.steps))],
        weight=weight,
        thinking=thinking,
    )
