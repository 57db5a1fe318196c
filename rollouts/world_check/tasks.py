"""Checks of the listing of tasks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from environments.base import EnvironmentFault, Task
from environments.complete import CompleteWorld
from rollouts.world_check.finding import Finding, Sample

SEED = 0


def listed(world: CompleteWorld, split: str, count: int) -> list[Task]:
    """Up to `count` tasks of a split: fewer if it has fewer."""
    while count:
        try:
            return world.tasks(split, count, SEED)
        except EnvironmentFault:
            if count == 1:
                raise
            count //= 2
    return []


def check_tasks(sample: Sample) -> Iterator[Finding]:
    """Listing twice, listing fewer, and the other splits."""
    world, count = sample.world, len(sample.tasks)
    train = list(sample.tasks)
    if world.tasks("train", count, SEED) != train:
        yield Finding(
            "tasks: same again", "fault", f"tasks('train', {count}, {SEED}) gives other tasks the second time"
        )
    elif world.tasks("train", count // 2, SEED) != train[: count // 2]:
        yield Finding(
            "tasks: same again",
            "fault",
            f"tasks('train', {count // 2}, {SEED}) are not the first of those of {count}",
        )
    else:
        yield Finding(
            "tasks: same again", "ok", f"{count} train tasks, twice, and the first {count // 2} of them"
        )
    yield from _disjoint(world, count)


def _disjoint(world: CompleteWorld, count: int) -> Iterator[Finding]:
    splits: dict[str, list[Task]] = {}
    for split in world.splits():
        try:
            splits[split] = listed(world, split, count)
        except EnvironmentFault as fault:
            state = "fault" if split == "train" else "not there"
            yield Finding(f"tasks: {split}", state, str(fault))  # type: ignore[arg-type]
    for one, other in combinations(splits, 2):
        if shared := _shared(splits[one], splits[other]):
            yield Finding("tasks: splits disjoint", "fault", f"{one} and {other} share {shared}")
            return
    sizes = ", ".join(f"{split} {len(tasks)}" for split, tasks in splits.items())
    yield Finding("tasks: splits disjoint", "ok", f"no task and no payload is in two splits ({sizes})")


def _shared(one: list[Task], other: list[Task]) -> str | None:
    """A task that both have: by its id, or, under another id, by its payload and instruction."""
    if ids := {task.task_id for task in one} & {task.task_id for task in other}:
        return f"task {min(ids)!r}"
    content = {(task.payload, task.instruction): task.task_id for task in one if task.payload}
    for task in other:
        if twin := content.get((task.payload, task.instruction)):
            return f"the payload and instruction of {twin!r} and {task.task_id!r}: is it the same task?"
    return None
