"""Damage in a data folder that an ingest does not meet, and repairs that are safe at any time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from storage.cached_results import batch_in
from storage.faults import StorageFault
from storage.files import DAMAGED, set_aside
from storage.ingest.read_files import folders_in
from storage.ingest.scan import StoredBatch, present_batches
from storage.packs import Packs
from storage.rollout_pool import rollouts_in
from storage.shards import BatchRef, Manifest, Shard, ShardStore


@dataclass(frozen=True)
class DamagedShard:
    """A shard that is missing or damaged, and the current batches that it belongs to; all shards of a pack that cannot
    be read count as one."""

    why: str
    batches: list[StoredBatch] = field(default_factory=list)


@dataclass(frozen=True)
class DamagedResult:
    """A file in results/ that cannot be used. `manifest`: digest of the manifest that it refers to, "" if the file
    itself is damaged."""

    path: Path
    why: str
    manifest: str = ""


class Health:
    """Checks of one data folder. Each shard is read once."""

    def __init__(self, root: Path) -> None:
        self.root, self._shards = root, ShardStore(root)
        self._problems: dict[Path, str | None] = {}

    @cached_property
    def damaged_shards(self) -> list[DamagedShard]:
        """Damaged shards of batches whose manifests can be read."""
        found: dict[str, DamagedShard] = {}
        for batch in present_batches(self._shards)[0]:
            problems = (self._problem_of_shard(batch.manifest, shard) for shard in batch.manifest.shards)
            for why in sorted(set(filter(None, problems))):
                found.setdefault(why, DamagedShard(why)).batches.append(batch)
        return list(found.values())

    def useless_packs(self) -> Iterator[tuple[Path, str]]:
        """Packs that cannot be read and why, where every current batch has its shards elsewhere."""
        needed = " ".join(shard.why for shard in self.damaged_shards)
        for folder in folders_in(self._shards.folder):
            for path, why in Packs(folder).refresh()[1].items():
                if str(path) not in needed:
                    yield path, why

    def set_results_aside(self) -> Iterator[DamagedResult]:
        """Rename results of cached batches that cannot be read, or whose batch is damaged: the batch is then computed
        again instead of failing every run that needs it."""
        for path in sorted((self.root / "results").glob("*")):
            whole = path.is_file() and path.suffix != DAMAGED and not path.name.startswith(".")
            if whole and (damaged := self._problem_of_result(path)):
                set_aside(path)
                yield damaged

    def set_rollouts_aside(self) -> Iterator[Path]:
        """Rename damaged files of the rollout pool: their rollouts are played again."""
        for path in sorted((self.root / "evidence").glob("*/*/*.parquet")):
            try:
                if rollouts_in(path) is None:
                    set_aside(path)
                    yield path
            except FileNotFoundError:  # a run has just merged it into another file
                continue

    def damaged_files(self) -> list[Path]:
        """Damaged files that were renamed, now or earlier. Nothing reads them."""
        return sorted(self.root.rglob(f"*{DAMAGED}"))

    def _problem_of_result(self, path: Path) -> DamagedResult | None:
        try:
            ref = batch_in(path.read_bytes())
        except (ValueError, KeyError, TypeError):
            return DamagedResult(path, "it is damaged")
        why = self._problem_of_batch(ref) if ref else None
        return DamagedResult(path, why, ref.sha256) if ref and why else None

    def _problem_of_batch(self, ref: BatchRef) -> str | None:
        try:
            manifest = self._shards.manifest(ref)
        except StorageFault as fault:
            return str(fault)
        problems = (self._problem_of_shard(manifest, shard) for shard in manifest.shards)
        return next(filter(None, problems), None)

    def _problem_of_shard(self, manifest: Manifest, shard: Shard) -> str | None:
        path = self._shards.shard_path(manifest, shard)
        if path not in self._problems:
            try:
                self._shards.verified_bytes(manifest, shard)
                self._problems[path] = None
            except StorageFault as fault:
                self._problems[path] = str(fault)
        return self._problems[path]
