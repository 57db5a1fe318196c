"""A cache below the batch: the rows of one task. How a stage is cut into batches then does not change what is cached.

The key of a task's rows holds everything that decides them, as the key of a batch does, but for this task alone. The
manifest of a batch lists these keys as its `units`. A batch reuses the rows that another batch of the same stage key
has, and makes only the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from rollouts.rows import by_task
from storage.faults import StorageFault
from storage.ids import content_id
from storage.records import Record
from storage.row_digest import digest_of_rows
from storage.shards import BatchRef, ShardStore
from tasks.caching import Inputs

_OF_THE_BATCH = ("part", "upstream", "tasks", "briefings")
"""Inputs about all tasks of a batch together."""


@dataclass(frozen=True)
class ReusedRows:
    """Rows by task that other batches have, and the ids of these batches."""

    rows: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    batches: tuple[str, ...] = ()


def task_keys(
    stage: str,
    version: str,
    inputs: Inputs,
    upstream: Mapping[str, Sequence[Record]],
    briefings: Mapping[str, str],
) -> dict[str, str]:
    """The key of each task's rows, by task id. `upstream`: the rows of each task that the batch reads; `briefings`:
    what a policy is told before the task."""
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
            digest_of_rows(upstream.get(task, ())),
            briefings.get(task),
        )
        for task in tasks
    }


def reuse_rows(
    shards: ShardStore,
    stage_key: str,
    keys: Mapping[str, str],
    allowed: Callable[[BatchRef], bool] = lambda ref: True,
) -> ReusedRows:
    """The rows that batches of the stage key already have for the keys, from the newest batch where several do.
    `allowed` says which batches may be used."""
    wanted = {key: task for task, key in keys.items()}
    rows: dict[str, Sequence[Record]] = {}
    batches: list[str] = []
    for ref, manifest in shards.holding(stage_key, wanted):
        found = [wanted[key] for key in manifest.units.values() if key in wanted]
        new = [task for task in found if task not in rows]
        if not new or not allowed(ref):
            continue
        try:
            read = by_task(shards.read_batch(ref))
        except StorageFault:  # a damaged batch is made again
            continue
        rows |= {task: read.get(task, ()) for task in new}
        batches += [ref.batch_id, *manifest.taken_from]
    return ReusedRows(rows, tuple(dict.fromkeys(batches)))
