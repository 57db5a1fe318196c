"""The tasks that are served: the first ones of each split."""

from __future__ import annotations

import random
from bisect import bisect_left
from typing import Any

from environments.base import EnvironmentFault, Task
from environments.complete import CompleteWorld
from environments.identities import own_id
from environments.openenv.serving.messages import Reset


class Refusal(Exception):
    """What was asked cannot be done, and something else may be. The message says why."""


class Listing:
    """Up to `most` tasks of each split of a world. Raises EnvironmentFault for a world without any."""

    def __init__(self, world: CompleteWorld, most: int) -> None:
        self._tasks = {split: _first(world, split, most) for split in world.splits()}
        self._by_id = {own_id(task): task for tasks in self._tasks.values() for task in tasks}
        if not self._by_id:
            world.tasks(world.splits()[0], 1, 0)  # raises what is wrong
            raise EnvironmentFault(f"world {world.name} lists no tasks")

    def splits(self) -> list[str]:
        return list(self._tasks)

    def of(self, split: str) -> list[Task]:
        """Raises Refusal."""
        if split not in self._tasks:
            raise Refusal(f"there is no split {split!r}; there are {', '.join(self._tasks)}")
        return self._tasks[split]

    def at(self, split: str, index: int) -> Task:
        """Raises Refusal."""
        tasks = self.of(split)
        if index >= len(tasks):
            raise Refusal(f"split {split} has {len(tasks)} tasks, and none with the index {index}")
        return tasks[index]

    def chosen(self, reset: Reset) -> Task:
        """Raises Refusal."""
        if reset.task_id is not None:
            if reset.task_id not in self._by_id:
                raise Refusal(f"there is no task {reset.task_id!r}")
            return self._by_id[reset.task_id]
        split = reset.split or next(split for split, tasks in self._tasks.items() if tasks)
        if reset.index is not None:
            return self.at(split, reset.index)
        if not (tasks := self.of(split)):
            raise Refusal(f"split {split} has no tasks")
        return tasks[reset.seed % len(tasks)] if reset.seed is not None else random.choice(tasks)


def spec(task: Task, index: int) -> dict[str, Any]:
    """What is said of a task: not its payload, which may hold the solution."""
    return {"id": own_id(task), "index": index, "task_type": task.task_type, "instruction": task.instruction}


def _first(world: CompleteWorld, split: str, most: int) -> list[Task]:
    """The first tasks of a split, `most` or all that there are: a world only says that it has too few."""

    def too_many(count: int) -> bool:
        try:
            world.tasks(split, count, 0)
        except EnvironmentFault:
            return True
        return False

    there = most if not too_many(most) else bisect_left(range(1, most), True, key=too_many)
    return world.tasks(split, there, 0) if there else []
