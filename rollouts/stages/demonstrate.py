"""Stage demonstrate: the expert's run of every task."""

from __future__ import annotations

from collections.abc import Sequence

from configs.schema import FactoryConfig
from environments.base import Environment, Task, World
from rollouts.play import Played, Start, Wrapping, beginning, execute
from rollouts.rows import trajectory_records
from steca.types import Turn
from steca.vocabulary import Progress
from storage.records import Record, TaskRecord


def demonstrate(
    world: World, tasks: Sequence[Task], config: FactoryConfig, progress: Progress | None = None
) -> list[Record]:
    """Rows of the tasks and of the expert's executed runs. A task that the expert cannot finish keeps its row
    and its failed run; no training stage uses it."""
    wrapping = Wrapping(config.environment)
    environment = world.environment()
    records: list[Record] = []
    for number, task in enumerate(tasks):
        run = expert_run(environment, task, world.demonstration(task), wrapping)
        records.append(_task_record(task))
        if run:
            records += trajectory_records(run, "expert", None)[1]
        if progress:
            progress(number + 1, len(tasks))
    return records


def expert_run(
    environment: Environment, task: Task, recorded: Sequence[Turn] | None, wrapping: Wrapping
) -> Played | None:
    """The expert's run from scratch: the recorded turns where there are some, else the exploring expert."""
    start = beginning(environment, task)
    if recorded is not None:
        played = execute(environment, start, [turn.text for turn in recorded], "expert", wrapping)
        return played[-1] if played else None
    return continue_expert(environment, start, wrapping)


def continue_expert(environment: Environment, start: Start, wrapping: Wrapping) -> Played | None:
    """The exploring expert plays on from a start until the end; None where it has nothing to say at once."""
    last: Played | None = None
    while last is None or last.trajectory.end == "running":
        turn = environment.expert_turn(start.first_observation, start.steps)
        if turn is None:
            return last
        last = execute(environment, start, [turn.text], "expert", wrapping)[-1]
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
