"""What is wrong in a data folder beyond what an ingest meets, and what can be put right at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from storage.faults import StorageFault
from storage.files import DAMAGED, set_aside
from storage.rollout_pool import rollouts_in
from storage.scan import StoredBatch, present_batches
from storage.shards import BatchRef, ShardStore


class Health:
    """The files of one data folder, each read whole once."""

    def __init__(self, root: Path) -> None:
        self.root, self._shards = root, ShardStore(root)
        self._faults: dict[str, str | None] = {}

    @cached_property
    def damaged_batches(self) -> list[tuple[StoredBatch, str]]:
        """Batches whose manifests are sound and whose shards are not, and why."""
        present, _ = present_batches(self._shards)
        return [(batch, why) for batch in present if (why := self._why(batch.ref))]

    def set_results_aside(self) -> Iterator[tuple[Path, str]]:
        """Rename results of cached batches that cannot be read, or whose batch is not there whole, so that the batch is
        done again instead of stopping every run that needs it. Gives each file and why."""
        for path in sorted((self.root / "results").glob("*")):
            if path.is_file() and path.suffix != DAMAGED and not path.name.startswith("."):
                why = self._why_of_result(path)
                if why:
                    set_aside(path)
                    yield path, why

    def set_evidence_aside(self) -> Iterator[Path]:
        """Rename damaged files of evidence: their rollouts are played again. Gives each."""
        for path in sorted((self.root / "evidence").glob("*/*/*.parquet")):
            try:
                if rollouts_in(path) is None:
                    set_aside(path)
                    yield path
            except FileNotFoundError:  # merged into another by a run at work
                continue

    def kept_damaged(self) -> list[Path]:
        """Damaged files that were renamed, now or before: nothing reads them."""
        return sorted(self.root.rglob(f"*{DAMAGED}"))

    def _why_of_result(self, path: Path) -> str | None:
        try:
            result = json.loads(json.loads(path.read_bytes())["result"])
        except (ValueError, KeyError, TypeError):
            return "it is damaged"
        try:
            return self._why(
                BatchRef.model_validate(result.get("ref", result))
            )  # up to 0.3.0 the reference itself
        except (ValidationError, AttributeError):  # of something else
            return None

    def _why(self, ref: BatchRef) -> str | None:
        if ref.sha256 not in self._faults:
            try:
                self._shards.verify(ref)
                self._faults[ref.sha256] = None
            except StorageFault as fault:
                self._faults[ref.sha256] = str(fault)
        return self._faults[ref.sha256]
