"""Batches of version 0.3.0, found by the names that it gave them: a run which it began goes on.

0.3.0 named a batch by the references to its upstream batches, where later versions look at their content. It did not
say in a batch whether a budget had cut it, so only batches of stages that were completed under no limit are taken.
"""

from __future__ import annotations

from pathlib import Path

from environments.base import FIRST_VERSION
from storage.faults import StorageFault
from storage.ids import content_id
from storage.runs import RunFolder
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
"""The versions of the stages in 0.3.0. A stage that was changed since has a higher one, and takes nothing over."""


def former_batches(root: Path) -> dict[str, BatchRef]:
    """By id the batches of 0.3.0 that stages of runs were completed with."""
    found: dict[str, BatchRef] = {}
    for file in (root / "runs").glob("*/run.json"):
        try:
            states = RunFolder(root, file.parent.name).stages()
        except StorageFault:  # what it would have offered is done again
            continue
        for state in states:
            if state.status == "completed" and state.stopped is None:
                found |= {ref.batch_id: ref for ref in state.batches if not ref.content}
    return found


def former_id(stage: str, version: str, inputs: Inputs, refs: dict[str, list[BatchRef]]) -> str | None:
    """The id under which 0.3.0 wrote a batch with these inputs; None where it would have given something else."""
    if VERSIONS.get(stage) != version or inputs.get("world", FIRST_VERSION) != FIRST_VERSION:
        return None
    upstream = {
        group: [ref.model_dump(mode="json", exclude={"content"}) for ref in these]
        for group, these in refs.items()
    }
    named = {name: value for name, value in inputs.items() if name != "world"} | {"upstream": upstream}
    return f"{stage}-{inputs['part']}-{content_id(named)}"
