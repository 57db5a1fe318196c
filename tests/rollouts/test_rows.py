"""Rows: trajectories survive the round trip, and the id depends on all of the content and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from environments.alfworld.generation.world import GeneratedAlfworld
from environments.base import Task
from environments.complete import CompleteWorld
from rollouts.play import EpisodeSettings, PlayedEpisode, play, start_of
from rollouts.rows import demonstrations, of_type, stored_trajectories, task_of, trajectory_records
from rollouts.stages.demonstrate import demonstrate, expert_run
from steca.types import Step, Trajectory, Turn
from storage.records import StepRecord, TaskRecord, TrajectoryRecord
from tests.support.rollouts_toys import (
    GREEDY,
    OPTIONS,
    Toy,
    complete,
    config,
    demonstrated,
    fragile,
    tasks,
    world,
)

STEP = Step("Thought: a\nAction: b", "a", "b", "c", True, "policy", 5)
RUN = PlayedEpisode(
    Trajectory("t", "hello", (STEP, replace(STEP, action="d")), 0.5, "step_cap", 1), 0.25, None
)


def test_trajectories_come_back_whole() -> None:
    settings = EpisodeSettings(config(environment={"step_cap": 12}).environment)
    starts = [start_of(world(), task) for task in tasks(5)]
    played = [run.with_prefix(2) for run in play(world(), Toy(fragile(0.2)), starts, GREEDY, settings)]
    assert len({run.trajectory.end for run in played}) > 1
    records = [row for run in played for row in trajectory_records(run, "explored", "toy")[1]]
    back = stored_trajectories(records)
    assert [run.trajectory for run in back] == [run.trajectory for run in played]
    for run, row in zip(played, (r.record for r in back), strict=True):
        assert (row.n_steps, row.success) == (len(run.trajectory.steps), run.trajectory.success)
        assert row.invalid_actions == [step.valid for step in run.trajectory.steps].count(False)
        assert (row.progress, row.prefix_steps) == (run.progress, 2)
    assert stored_trajectories(records[::-1])[::-1] == back, "the order of the rows does not matter"


CHANGES: dict[str, Callable[[Trajectory], Trajectory]] = {
    "task_id": lambda t: replace(t, task_id="other"),
    "first_observation": lambda t: replace(t, first_observation="other"),
    "outcome": lambda t: replace(t, outcome=0.75),
    "end": lambda t: replace(t, end="done"),
    "prefix": lambda t: replace(t, prefix=0),
    "fewer steps": lambda t: replace(t, steps=t.steps[:1]),
    "order": lambda t: replace(t, steps=t.steps[::-1]),
}
STEP_CHANGES: dict[str, Any] = {
    "text": "x", "thought": "x", "action": "x", "observation": "x", "valid": False, "origin": "repair", "tokens": 6,
    "thinking": "x", "thinking_tokens": 6,
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_another_trajectory_has_another_id(change: str) -> None:
    other = replace(RUN, trajectory=CHANGES[change](RUN.trajectory))
    assert trajectory_records(other, "explored", "p")[0] != trajectory_records(RUN, "explored", "p")[0]


@pytest.mark.parametrize("field", STEP_CHANGES)
def test_another_step_gives_another_id(field: str) -> None:
    steps = (replace(STEP, **{field: STEP_CHANGES[field]}), RUN.trajectory.steps[1])
    other = replace(RUN, trajectory=replace(RUN.trajectory, steps=steps))
    assert trajectory_records(other, "explored", "p")[0] != trajectory_records(RUN, "explored", "p")[0]


def test_every_field_of_a_step_and_of_a_run_was_changed() -> None:
    assert set(STEP_CHANGES) == set(Step.__dataclass_fields__)
    assert set(CHANGES) >= set(Trajectory.__dataclass_fields__) - {"steps"}


def test_kind_checkpoint_and_progress_are_in_the_id() -> None:
    ids = [
        trajectory_records(RUN, "explored", "p")[0],
        trajectory_records(RUN, "evaluation", "p")[0],
        trajectory_records(RUN, "explored", "q")[0],
        trajectory_records(RUN, "explored", None)[0],
        trajectory_records(replace(RUN, progress=0.5), "explored", "p")[0],
    ]
    assert len(set(ids)) == len(ids)


def test_equal_content_has_equal_rows_whatever_the_worlds_state() -> None:
    again = replace(RUN, state=object())
    assert trajectory_records(again, "explored", "p") == trajectory_records(RUN, "explored", "p")


def test_a_task_is_rebuilt_from_its_row() -> None:
    rows = of_type(demonstrated(5), TaskRecord)
    assert [task_of(row) for row in rows] == tasks(5)


def test_a_demonstration_needs_a_successful_expert_run() -> None:
    """A cap that some experts exceed: their tasks and failed runs are stored, but not used."""
    rows = demonstrate(world(), tasks(6), config(environment={"step_cap": 8}))
    heads = of_type(rows, TrajectoryRecord)
    assert len(of_type(rows, TaskRecord)) == len(heads) == 6
    usable = [demo.task.task_id for demo in demonstrations(rows)]
    assert usable == [head.task_id for head in heads if head.success]
    assert 0 < len(usable) < 6
    assert {step.origin for step in of_type(rows, StepRecord)} == {"expert"}
    assert {step.tokens for step in of_type(rows, StepRecord)} == {0}


def recorded(turns: list[Turn]) -> CompleteWorld:
    """The small world, whose expert runs are recorded."""

    class Recorded(GeneratedAlfworld):
        def demonstration(self, task: Task) -> list[Turn]:
            return turns

    return complete(Recorded(OPTIONS))


def test_a_recorded_expert_is_executed_and_not_believed() -> None:
    task: Task = tasks(1)[0]
    settings = EpisodeSettings(config().environment)
    [demo] = demonstrations(demonstrated(1))
    turns = [Turn("recorded", action) for action in demo.expert.trajectory.actions]
    run, problem = expert_run(recorded(turns), task, settings)
    assert not problem
    assert run
    assert run.trajectory.success
    assert {step.thought for step in run.trajectory.steps} == {"recorded"}
    broken, problem = expert_run(recorded(turns[:-1]), task, settings)
    assert not problem
    assert broken
    assert (broken.trajectory.success, broken.trajectory.end) == (False, "running")
    assert expert_run(recorded([]), task, settings) == (None, "")


def test_demonstrating_reports_progress() -> None:
    heard: list[tuple[int, int]] = []
    demonstrate(world(), tasks(3), config(), lambda done, of: heard.append((done, of)))
    assert heard == [(1, 3), (2, 3), (3, 3)]
