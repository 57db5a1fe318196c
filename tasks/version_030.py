"""Batches of version 0.3.0, found by the ids that it gave them, so that a run which it began can be resumed.

0.3.0 derived a batch id from the references to the upstream batches; later versions use the content of their rows. It
did not record whether a budget had cut a batch, so only batches of stages that were completed under no limit are used.
Nor did it record the version of the world, the game files, or how replies were parsed. Where these could differ, the
batch is made again. If its rows are the same, the old batch keeps its place, and so does everything made from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from environments.versions import FIRST_VERSION
from storage.ids import content_id
from storage.records import CheckpointRecord, Record
from storage.shards import BatchRef
from tasks.batch import Request
from tasks.caching import Inputs
from tasks.resources.run_resources import RunResources

VERSIONS = {
    "demonstrate": "1",
    "warmup": "2",
    "explore": "1",
    "score": "2",
    "decide": "2",
    "calibrate": "2",
    "assemble": "2",
    "train": "2",
    "force": "1",
    "evaluate": "1",
}
"""The versions of the cached tasks in 0.3.0. A task that has changed since has a higher one."""
SINCE = ("world", "replies", "data")
"""Inputs that 0.3.0 did not have."""


def batch_from_030(
    stage: str, version: str, request: Request, resources: RunResources, made: BatchRef | None = None
) -> BatchRef | None:
    """The verified batch of 0.3.0 for a request, where it is known to hold the same rows, or, given the batch `made`
    now, where its rows are equal to those. None if there is none."""
    if not resources.batches_of_030:
        return None
    ref = resources.batches_of_030.get(id_in_030(stage, request.inputs, request.refs))
    if ref is None or (made is None and not is_surely_same(stage, version, request.inputs)):
        return None
    shards = resources.shards
    shards.verify(ref)
    if made is None:
        return None if never_learned(shards.read(ref, CheckpointRecord)) else ref
    if shards.rows_digest([ref]) == shards.rows_digest([made]):
        return ref
    rows = (shards.read_batch(each) for each in (ref, made))
    return ref if request.inputs["tasks"] and are_alike(*rows) else None


def id_in_030(stage: str, inputs: Inputs, refs: Mapping[str, Sequence[BatchRef]]) -> str:
    """The id under which 0.3.0 wrote a batch with these inputs."""
    upstream = {
        group: [ref.model_dump(mode="json", exclude={"content"}) for ref in _in_order(stage, group, these)]
        for group, these in refs.items()
    }
    tasks = [_as_in_030(task) for task in inputs["tasks"]]
    named = {name: value for name, value in inputs.items() if name not in SINCE}
    return f"{stage}-{inputs['part']}-{content_id(named | {'upstream': upstream, 'tasks': tasks})}"


def _in_order(stage: str, group: str, refs: Sequence[BatchRef]) -> Sequence[BatchRef]:
    """0.3.0 put shared demonstrations last."""
    if (stage, group) not in (("warmup", "records"), ("assemble", "demonstrated")):
        return refs
    return sorted(refs, key=lambda ref: ref.batch_id.startswith("demonstrate-shared-"))


def is_surely_same(stage: str, version: str, inputs: Inputs) -> bool:
    """Whether 0.3.0 is known to have made the same rows from these inputs, without making them again."""
    return (
        VERSIONS.get(stage) == version
        and inputs.get("world", FIRST_VERSION) == FIRST_VERSION
        and not {"replies", "data"} & set(inputs)
        and all(_as_in_030(task) == task for task in inputs["tasks"])
    )


def never_learned(rows: Sequence[Record]) -> bool:
    """Whether the rows record a training whose every step had learning rate 0, as trainings of one step had in
    0.3.0."""
    trainings = [row for row in rows if isinstance(row, CheckpointRecord)]
    return any(not any(row.learning_rates or [1.0]) for row in trainings)


def are_alike(rows: Sequence[Record], others: Sequence[Record]) -> bool:
    """Whether two sets of rows differ at most in task ids, which in 0.3.0 lacked the digest of the game's files, and in
    ids derived from them."""
    return _without_task_ids(rows) == _without_task_ids(others)


def _without_task_ids(rows: Sequence[Record]) -> list[str]:
    named = {"task_id", "payload", "trajectory_id"}
    return sorted(f"{row.table} {row.model_dump_json(exclude=named, exclude_none=True)}" for row in rows)


def _as_in_030(task: dict[str, str]) -> dict[str, str]:
    """A task without the digest of its game file (environments.base.Task)."""
    if "#" not in task["task_id"]:
        return task
    return task | {name: task[name].partition("#")[0] for name in ("task_id", "payload")}
