"""Batches of version 0.3.0, found by the names that it gave them: a run which it began goes on.

0.3.0 named a batch by the references to its upstream batches, where later versions look at their content. It did not
say in a batch whether a budget had cut it, so only batches of stages that were completed under no limit are taken.
Nor did it say which version of a world, which game files and which reading of replies a batch was made with. Where
these could differ the batch is made again; if its rows are the same, the old one stays in its place, and with it
everything that was made from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from environments.base import FIRST_VERSION
from storage.faults import StorageFault
from storage.ids import content_id
from storage.records import CheckpointRecord, Record
from storage.runs import RunFolder, last_whole
from storage.shards import BatchRef
from tasks.caching import Inputs

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
"""The versions of the stages in 0.3.0. A stage that was changed since has a higher one."""
SINCE = ("world", "replies", "data")
"""Inputs that 0.3.0 did not have."""


def former_batches(root: Path) -> dict[str, BatchRef]:
    """By id the batches of 0.3.0 that stages of runs were completed with."""
    found: dict[str, BatchRef] = {}
    for file in (root / "runs").glob("*/run.json"):
        try:
            states = RunFolder(root, file.parent.name).stages()
        except StorageFault:  # what it would have offered is done again
            continue
        for state in states:
            found |= {ref.batch_id: ref for ref in last_whole(state) if not ref.content}
    return found


def former_id(stage: str, inputs: Inputs, refs: Mapping[str, Sequence[BatchRef]]) -> str:
    """The id under which 0.3.0 wrote a batch with these inputs."""
    upstream = {
        group: [ref.model_dump(mode="json", exclude={"content"}) for ref in _in_order(stage, group, these)]
        for group, these in refs.items()
    }
    tasks = [_as_then(task) for task in inputs["tasks"]]
    named = {name: value for name, value in inputs.items() if name not in SINCE}
    return f"{stage}-{inputs['part']}-{content_id(named | {'upstream': upstream, 'tasks': tasks})}"


def _in_order(stage: str, group: str, refs: Sequence[BatchRef]) -> Sequence[BatchRef]:
    """Shared demonstrations came last."""
    if (stage, group) not in (("warmup", "records"), ("assemble", "demonstrated")):
        return refs
    return sorted(refs, key=lambda ref: ref.batch_id.startswith("demonstrate-shared-"))


def surely_same(stage: str, version: str, inputs: Inputs) -> bool:
    """Whether 0.3.0 made the same of these inputs, so that nothing need be done to know it."""
    return (
        VERSIONS.get(stage) == version
        and inputs.get("world", FIRST_VERSION) == FIRST_VERSION
        and not {"replies", "data"} & set(inputs)
        and all(_as_then(task) == task for task in inputs["tasks"])
    )


def had_no_rate(rows: Sequence[Record]) -> bool:
    """Whether rows are of a training whose every step had learning rate 0: in 0.3.0 one of a single step had."""
    trainings = [row for row in rows if isinstance(row, CheckpointRecord)]
    return any(not any(row.learning_rates or [1.0]) for row in trainings)


def alike(rows: Sequence[Record], others: Sequence[Record]) -> bool:
    """Whether two sets of rows differ at most in the ids of their tasks, which 0.3.0 made without the digest of the
    game's files, and in what is made from these ids."""
    return _plain(rows) == _plain(others)


def _plain(rows: Sequence[Record]) -> list[str]:
    named = {"task_id", "payload", "trajectory_id"}
    return sorted(f"{row.table} {row.model_dump_json(exclude=named, exclude_none=True)}" for row in rows)


def _as_then(task: dict[str, str]) -> dict[str, str]:
    """A task without the digest of its game file (environments.base.Task)."""
    if "#" not in task["task_id"]:
        return task
    return task | {name: task[name].partition("#")[0] for name in ("task_id", "payload")}
