"""Stage demonstrate: the expert's run of every task."""

from __future__ import annotations

from collections.abc import Sequence

from configs.schema import FactoryConfig
from environments.base import Environment, Task, World
from rollouts.play import EpisodeSettings, PlayedEpisode, Start, execute, start_of
from rollouts.rows import trajectory_records
from steca.types import Turn
from steca.vocabulary import Progress
from storage.records import Record, TaskRecord


def demonstrate(
    world: World, tasks: Sequence[Task], config: FactoryConfig, progress: Progress | None = None
) -> list[Record]:
    """Rows of the tasks and of the expert's executed runs. A task that the expert cannot finish is stored with its
    failed run; no training stage uses it."""
    settings = EpisodeSettings(config.environment)
    environment = world.environment()
    records: list[Record] = []
    for number, task in enumerate(tasks):
        run = expert_run(environment, task, world.demonstration(task), settings)
        records.append(_task_record(task))
        if run:
            records += trajectory_records(run, "expert", None)[1]
        if progress:
            progress(number + 1, len(tasks))
    return records


def expert_run(
    environment: Environment, task: Task, recorded: Sequence[Turn] | None, settings: EpisodeSettings
) -> PlayedEpisode | None:
    """The expert's run from scratch: the recorded turns if there are any, else the exploring expert's."""
    start = start_of(environment, task)
    if recorded is not None:
        played = execute(environment, start, [turn.text for turn in recorded], "expert", settings)
        return played[-1] if played else None
    return continue_expert(environment, start, settings)


def continue_expert(
    environment: Environment, start: Start, settings: EpisodeSettings
) -> PlayedEpisode | None:
    """The exploring expert plays from a start to the end; None if it has no turn at the start already."""
    last: PlayedEpisode | None = None
    while last is None or last.trajectory.end == "running":
        turn = environment.expert_turn(start.first_observation, start.steps)
        if turn is None:
            return last
        last = execute(environment, start, [turn.text], "expert", settings)[-1]
        start = last.resume(start.task)
    return last


def _task_record(task: Task) -> TaskRecord:
    return TaskRecord(
        task_id=task.task_id,
        world=task.world,
        split=task.split,
        task_type=task.task_type,
        instruction=task.instruction,
        payload=task.payload,
    )
