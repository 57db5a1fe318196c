"""What is done for each task by itself is kept by task: how a stage is cut into batches does not change what is cached.

A *unit* is a stage's work on one task. Its key holds everything that decides its rows, as the key of a batch does, but
for this task alone. The manifest of a batch names the units that it holds; a batch takes over the rows of units that
another batch of the same stage key has, and does the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from rollouts.rows import by_task
from storage.content import content_of
from storage.faults import StorageFault
from storage.ids import content_id
from storage.records import Record
from storage.shards import BatchRef, ShardStore
from tasks.caching import Inputs

_OF_THE_BATCH = ("part", "upstream", "tasks", "briefings")
"""Inputs about all tasks of a batch together."""


@dataclass(frozen=True)
class Taken:
    """Rows by task that other batches have, and the ids of these batches."""

    rows: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    batches: tuple[str, ...] = ()


def unit_keys(
    stage: str,
    version: str,
    inputs: Inputs,
    upstream: Mapping[str, Sequence[Record]],
    briefings: Mapping[str, str],
) -> dict[str, str]:
    """The key of each task's unit. `upstream`: the rows of each task that the batch reads; `briefings`: what a policy
    is told before the task."""
    shared = {name: value for name, value in inputs.items() if name not in _OF_THE_BATCH}
    given = {task["task_id"]: task for task in inputs["tasks"]}
    tasks = dict.fromkeys((*given, *upstream))
    return {
        task: content_id(
            stage,
            version,
            shared,
            task,
            given.get(task),
            content_of(upstream.get(task, ())),
            briefings.get(task),
        )
        for task in tasks
    }


def take(
    shards: ShardStore,
    stage_key: str,
    keys: Mapping[str, str],
    may: Callable[[BatchRef], bool] = lambda ref: True,
) -> Taken:
    """The rows of all units that batches of the stage key hold already, of the newest where several do; `may` says
    which batches may be used."""
    wanted = {key: task for task, key in keys.items()}
    rows: dict[str, Sequence[Record]] = {}
    batches: list[str] = []
    for ref, manifest in shards.newest_first(stage_key):
        here = [wanted[key] for key in manifest.units.values() if key in wanted]
        new = [task for task in here if task not in rows]
        if not new or not may(ref):
            continue
        try:
            held = by_task(shards.read_batch(ref))
        except StorageFault:  # a damaged batch is done again
            continue
        rows |= {task: held.get(task, ()) for task in new}
        batches += [ref.batch_id, *manifest.taken_from]
    return Taken(rows, tuple(dict.fromkeys(batches)))
