"""Comparison files over the tiny factory, and runs that are finished without having been run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from configs.stages import schedule
from storage.runs import RunFolder, StageState
from storage.shards import BatchRef
from tests.support.store_rows import BEGUN
from tests.support.tiny_factory import TINY

NONE = {"calibrated": False, "explored_successes": False, "expert_suffixes": False}
ARMS: dict[str, Any] = {"SFT": {"datasets": NONE}, "STeCa": None}


def comparison_file(folder: Path, **fields: Any) -> Path:
    """A comparison file: SFT and STeCa on the tiny factory, two seeds. `fields` replace its fields; None removes
    one."""
    content = {"name": "pair", "config": str(TINY), "seeds": 2, "reference": "SFT", "arms": ARMS} | fields
    path = folder / "pair.yaml"
    kept = {name: value for name, value in content.items() if value is not None}
    path.write_text(yaml.safe_dump(kept, sort_keys=False))
    return path


def finished(
    root: Path, run_id: str, rounds: int = 1, seconds: float = 2.0, **batches: Sequence[BatchRef]
) -> None:
    """A whole run; `batches` by stage, those of the last round."""
    folder = RunFolder(root, run_id)
    folder.create(run_id, {"name": run_id, "rounds": rounds})
    for stage, round in schedule(rounds):
        at = 0 if stage in ("demonstrate", "warmup") else round
        folder.save_stage(
            StageState(
                stage=stage, round=at, stage_key=stage, status="completed", started_at=BEGUN, seconds=seconds,
                ended_at=BEGUN + timedelta(seconds=seconds), batches=tuple(batches.get(stage, ())),
            )
        )  # fmt: skip
