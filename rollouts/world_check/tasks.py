"""Checks of the listing of tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from environments.base import EnvironmentFault, Task
from environments.complete import CompleteWorld
from environments.identities import shared
from environments.states.calling import called
from rollouts.world_check.finding import Finding, Sample
from steca.vocabulary import TRAIN

SEED = 0


@dataclass(frozen=True, slots=True)
class Listing:
    """Tasks of a split, each once, and what is to be said of them."""

    tasks: list[Task]
    remark: Finding | None = None


def listing(world: CompleteWorld, split: str, count: int) -> Listing:
    """Up to `count` tasks of a split: fewer if it has fewer. Raises EnvironmentFault where there is none."""
    try:
        return Listing(world.tasks(split, count, SEED))
    except EnvironmentFault as fault:
        if split not in world.splits():
            raise
        own = _own(world, split, count)
        ids = Counter(task.task_id for task in own)
        twice = [task_id for task_id, times in ids.items() if times > 1]
        if twice:
            told = f"{count} asked: two have the id {twice[0]!r} ({len(twice)} of {len(ids)} ids are there twice)"
            once = {task.task_id: replace(task, world=world.name, split=split) for task in own}
            return Listing(list(once.values())[:count], Finding(f"tasks: {split}", "fault", told))
        if len(own) >= count or (not own and count == 1):
            raise
        less = listing(world, split, len(own) or count // 2)
        told = f"{count} asked, {len(own)} listed" if own else f"{count} asked, and refused: {fault}"
        if less.remark and less.remark.state == "fault":
            return less
        told += f"; {len(less.tasks)} are used" if not own else ""
        return Listing(less.tasks, Finding(f"tasks: {split}", "note", told))


def _own(world: CompleteWorld, split: str, count: int) -> list[Task]:
    """What the world itself lists; nothing if it raises."""
    try:
        return list(called("tasks", world.own.tasks, split, count, SEED))
    except EnvironmentFault:
        return []


def check_tasks(sample: Sample) -> Iterator[Finding]:
    """Listing twice, listing fewer, and the other splits."""
    if "tasks: train" not in sample.faults:
        yield _same_again(sample.world, list(sample.tasks))
    yield from _disjoint(sample.world, len(sample.tasks))


def _same_again(world: CompleteWorld, train: list[Task]) -> Finding:
    name, count = "tasks: same again", len(train)
    if world.tasks("train", count, SEED) != train:
        return Finding(name, "fault", f"tasks('train', {count}, {SEED}) gives other tasks the second time")
    if world.tasks("train", count // 2, SEED) != train[: count // 2]:
        return Finding(
            name,
            "fault",
            f"tasks('train', {count // 2}, {SEED}) are not the first of those of {count}",
        )
    return Finding(name, "ok", f"{count} train tasks, twice, and the first {count // 2} of them")


def _disjoint(world: CompleteWorld, count: int) -> Iterator[Finding]:
    splits: dict[str, list[Task]] = {}
    for split in world.splits():
        try:
            listed = listing(world, split, count)
            splits[split] = listed.tasks
            if listed.remark and split != TRAIN:  # which was told before
                yield listed.remark
        except EnvironmentFault as fault:
            state = "fault" if split == "train" else "not there"
            yield Finding(f"tasks: {split}", state, str(fault))  # type: ignore[arg-type]
    if found := shared(list(splits.items())):
        one, other, task = found
        told = f"{one} and {other} share task {task!r}, by its id or by its payload and instruction"
        yield Finding("tasks: splits disjoint", "fault", told)
        return
    sizes = ", ".join(f"{split} {len(tasks)}" for split, tasks in splits.items())
    yield Finding("tasks: splits disjoint", "ok", f"no task and no payload is in two splits ({sizes})")
