"""The batches of version 0.3.0 in a data folder (tasks/version_030.py uses them)."""

from __future__ import annotations

from pathlib import Path

from storage.faults import StorageFault
from storage.runs import RunFolder, last_complete_batches
from storage.shards import BatchRef


def batches_of_030(root: Path) -> dict[str, BatchRef]:
    """The batches of 0.3.0 that completed stages consist of, by id."""
    found: dict[str, BatchRef] = {}
    for file in (root / "runs").glob("*/run.json"):
        try:
            states = RunFolder(root, file.parent.name).stages()
        except StorageFault:  # its batches are made again
            continue
        for state in states:
            found |= {ref.batch_id: ref for ref in last_complete_batches(state) if not ref.content}
    return found
