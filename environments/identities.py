"""The ids of tasks. In the store, an id means one task for good, so it has to cover all that the task says.

An author may change a task and keep its id, and two worlds may use the same ids. So the id of a world of one's own gets
the digest of its name and of the task: `attic-hall-garage#8d3f01c2a4b5`. Worlds whose own ids cover this, like those of
this repository, say so with `ids_cover_data = True`, and keep theirs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

from environments.base import EnvironmentFault, Task

MARK = "#"


def completed_tasks(world: object, name: str, listed: object, split: str, count: int) -> list[Task]:
    """What `World.tasks` listed, with world, split and ids filled in. Raises EnvironmentFault for something else than
    tasks, too few of them, two with the same id, and one of another split."""
    if not isinstance(listed, Iterable) or isinstance(listed, str | bytes):
        raise EnvironmentFault(
            f"world {name}: tasks({split!r}, {count}, ...) must return a list of Task, and returned {listed!r:.60}"
        )
    tasks = [_completed(name, task, split) for task in listed]
    _check(name, tasks, split, count)
    if getattr(world, "ids_cover_data", False):
        return tasks
    return [replace(task, task_id=f"{task.task_id}{MARK}{_digest(task)}") for task in tasks]


def as_listed(task: Task) -> Task:
    """The task with the id that the author of the world gave: what the methods of the world get."""
    before, mark, digest = task.task_id.rpartition(MARK)
    own = replace(task, task_id=before)
    return own if mark and digest == _digest(own) else task


def own_id(task: Task) -> str:
    """The id that the author of the world gave."""
    return as_listed(task).task_id


def shared(parts: Sequence[tuple[str, Iterable[Task]]]) -> tuple[str, str, str] | None:
    """Two parts that share a task, and its id as the author gave it; None if all are disjoint. Tasks with the same
    payload and instruction are the same, whatever their ids; without a payload only their ids say it."""
    seen: dict[tuple[str, ...], str] = {}
    for part, tasks in parts:
        for task in tasks:
            for key in _marks(task):
                if (first := seen.setdefault(key, part)) != part:
                    return first, part, own_id(task)
    return None


def _marks(task: Task) -> list[tuple[str, ...]]:
    return [(task.task_id,), *([(task.payload, task.instruction)] if task.payload else [])]


def _completed(name: str, task: object, split: str) -> Task:
    if not isinstance(task, Task):
        raise EnvironmentFault(
            f"world {name}: tasks({split!r}, ...) must list Task objects, and listed {task!r:.60}"
        )
    return replace(task, world=task.world or name, split=task.split or split)


def _check(world: str, tasks: Sequence[Task], split: str, count: int) -> None:
    if len(tasks) != count:
        raise EnvironmentFault(
            f"world {world}: {count} {split} tasks were requested and {len(tasks)} listed: request fewer"
        )
    seen: set[str] = set()
    for task in tasks:
        if not isinstance(task.task_id, str) or not task.task_id:
            raise EnvironmentFault(
                f"world {world}: a {split} task has the id {task.task_id!r}: give it a text"
            )
        if task.task_id in seen:
            raise EnvironmentFault(
                f"world {world}: two {split} tasks have the id {task.task_id!r}: each needs one of its own"
            )
        if task.split != split:
            raise EnvironmentFault(
                f"world {world}: task {task.task_id} of split {task.split!r} is listed for {split!r}"
            )
        seen.add(task.task_id)


def _digest(task: Task) -> str:
    said = [task.world, task.task_id, task.task_type, task.instruction, task.payload]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]
