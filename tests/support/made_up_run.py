"""A made-up run in a store, with a stage state for each stage: for pages about runs that nobody has run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from configs.stages import round_of
from flows.artifacts.page import RunSource
from storage.records import Record
from storage.runs import RunFolder, StageState
from storage.shards import ShardStore
from storage.store import Store
from tests.support.store_rows import BEGUN

Stage = tuple[str, int]


def made_up_run(root: Path, stages: dict[Stage, Sequence[Record]], **config: Any) -> RunSource:
    """The run `made-up`, whose (stage, round) have these rows; each is completed."""
    folder = RunFolder(root, "made-up")
    folder.create("made-up", {"name": "made-up", **config})
    for number, ((stage, round), rows) in enumerate(stages.items()):
        batches = (
            (ShardStore(root).write_batch(f"{stage}-{round}", f"{stage}-all-0000", rows),) if rows else ()
        )
        state = StageState(
            stage=stage,
            round=round_of(stage, round),
            stage_key=f"{stage}-{round}",
            status="completed",
            started_at=BEGUN + timedelta(minutes=number),
            ended_at=BEGUN + timedelta(minutes=number, seconds=30),
            seconds=30.0,
            batches=batches,
        )
        folder.save_stage(state)
    Store(root).ingest()
    return RunSource(root, "made-up")
