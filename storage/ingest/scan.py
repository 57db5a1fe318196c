"""The batches and run files of a data folder: what can be read, and why the rest cannot."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from storage.columns import RECORD_OF_TABLE, arrow_schema
from storage.comparisons import ComparisonState, read_comparison
from storage.faults import StorageFault
from storage.ids import digest_bytes
from storage.ingest.read_files import files_in, folders_in
from storage.ingest.version_030 import DERIVED_COLUMNS, RETIRED_TABLES
from storage.runs import RunInfo, StageState, read_run_file
from storage.shards import REDO, BatchRef, Manifest, Shard, ShardStore, read_manifest
from storage.sql.schema import one_line


@dataclass(frozen=True)
class SetAside:
    """A file that was not ingested, and why, with what to do, in one line. `stage_key` and `batch_id` are those of a
    batch; None for a run file or the manifest of a superseded batch."""

    file: str  # relative to the data folder
    reason: str
    stage_key: str | None = None
    batch_id: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class StoredBatch:
    """A batch whose manifest can be read."""

    ref: BatchRef
    manifest: Manifest

    @property
    def name(self) -> tuple[str, str]:
        return self.ref.stage_key, self.ref.batch_id

    @property
    def label(self) -> str:
        return "/".join(self.name)

    def set_aside(self, reason: str) -> SetAside:
        return SetAside(self.ref.manifest, reason, *self.name, self.ref.sha256)


def present_batches(shards: ShardStore) -> tuple[list[StoredBatch], list[SetAside]]:
    """Every current batch, sorted by the path of its manifest, and the manifests that cannot be used."""
    return read_batches(shards, manifest_files(shards))


def manifest_files(shards: ShardStore) -> dict[str, str]:
    """The manifests of all current batches, relative to the data folder, with their signatures."""
    folders = folders_in(shards.folder)
    return {file: sign for folder in folders for file, sign in files_in(shards.root, folder, ".json").items()}


def read_batches(shards: ShardStore, manifests: Iterable[str]) -> tuple[list[StoredBatch], list[SetAside]]:
    """The batches of some manifests, sorted by their paths, and the manifests that cannot be used."""
    found: list[StoredBatch] = []
    aside: list[SetAside] = []
    for path in sorted(shards.root / file for file in manifests):
        try:
            batch = _batch(shards, path)
            if batch.name != (path.parent.name, path.stem):
                raise StorageFault(f"manifest {path} {_belongs_to(f'batch {batch.label}')}")
            found.append(batch)
        except StorageFault as fault:
            digest = digest_bytes(path.read_bytes()) if path.is_file() and os.access(path, os.R_OK) else None
            file = _relative(shards.root, path)
            aside.append(SetAside(file, str(fault), path.parent.name, path.stem, digest))
    return found, aside


def superseded_batches(shards: ShardStore) -> tuple[list[BatchRef], list[SetAside]]:
    """Every batch that a forced redo replaced, unless it is current again, and the manifests that cannot be used."""
    found: list[BatchRef] = []
    aside: list[SetAside] = []
    for path in sorted(shards.folder.glob("*/superseded/*.json")):
        try:
            ref = _batch(shards, path).ref
        except StorageFault as fault:
            aside.append(SetAside(_relative(shards.root, path), str(fault)))
            continue
        if not _has_digest(path.parent.parent / f"{ref.batch_id}.json", ref.sha256):
            found.append(ref)
    return found, aside


def why_unusable(shards: ShardStore, batch: StoredBatch) -> str | None:
    """Why the shards of a batch cannot be loaded; None if they can."""
    for shard in batch.manifest.shards:
        if shard.table not in RECORD_OF_TABLE and shard.table not in RETIRED_TABLES:
            return f"batch {batch.label} holds the table {shard.table}, which a newer version wrote; update the project"
        try:
            data = shards.verified_bytes(batch.manifest, shard)
        except StorageFault as fault:
            return str(fault)
        if wrong := _wrong_columns(shard, data):
            return f"shard {shards.shard_path(batch.manifest, shard)} {wrong}"
    return None


def run_files(root: Path) -> tuple[list[RunInfo], list[tuple[str, StageState]], list[SetAside]]:
    """Every run, oldest first; (run id, stage) in the order of the stages' starts; the files that cannot be used."""
    runs: list[RunInfo] = []
    states: list[tuple[str, StageState]] = []
    aside: list[SetAside] = []
    for path in sorted((root / "runs").glob("*/run.json")):
        found = read_run(root, path)
        if isinstance(found, SetAside):
            aside.append(found)
            continue
        runs.append(found)
        for file in sorted((path.parent / "stages").glob("*.json")):
            state = read_stage(root, file)
            aside.append(state) if isinstance(state, SetAside) else states.append((found.run_id, state))
    runs.sort(key=lambda run: (run.created_at, run.run_id))
    states.sort(key=lambda pair: (pair[1].started_at, pair[1].round, pair[1].stage))
    return runs, states, aside


def comparison_files(root: Path) -> tuple[list[ComparisonState], list[SetAside]]:
    """Every comparison by its name, and the files that cannot be used."""
    found: list[ComparisonState] = []
    aside: list[SetAside] = []
    for path in sorted((root / "comparisons").glob("*/comparison.json")):
        try:
            state = read_comparison(path)
            if state.name != path.parent.name:
                raise StorageFault(f"comparison file {path} {_belongs_to(f'comparison {state.name}')}")
            found.append(state)
        except StorageFault as fault:
            aside.append(SetAside(_relative(root, path), str(fault)))
    return found, aside


def read_run(root: Path, path: Path) -> RunInfo | SetAside:
    """What a run.json says, or why it cannot be used."""
    try:
        info = read_run_file(path, RunInfo)
        if info.run_id != path.parent.name:
            raise StorageFault(f"run file {path} {_belongs_to(f'run {info.run_id}')}")
        return info
    except StorageFault as fault:
        return SetAside(_relative(root, path), str(fault))


def read_stage(root: Path, path: Path) -> StageState | SetAside:
    """What the file of a stage says, or why it cannot be used."""
    try:
        state = read_run_file(path, StageState)
        if f"{state.round}-{state.stage}" != path.stem:
            raise StorageFault(f"run file {path} {_belongs_to(f'stage {state.stage}, round {state.round}')}")
        return state
    except StorageFault as fault:
        return SetAside(_relative(root, path), str(fault))


def _batch(shards: ShardStore, path: Path) -> StoredBatch:
    manifest, data = read_manifest(path)
    return StoredBatch(shards.reference(path, manifest, data), manifest)


def _belongs_to(owner: str) -> str:
    return f"belongs to {owner}, so it is probably a copy: delete it"


def _wrong_columns(shard: Shard, data: bytes) -> str | None:
    """Why the bytes of a shard, which match their digest, do not fit their table."""
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        return f"is not a Parquet file ({one_line(error)}); {REDO}"
    if file.metadata.num_rows != shard.rows:
        return f"has {file.metadata.num_rows} rows, but its manifest says {shard.rows}; {REDO}"
    if shard.table in RETIRED_TABLES:
        return None
    wanted, there = arrow_schema(RECORD_OF_TABLE[shard.table]), set(file.schema_arrow.names)
    if unknown := sorted(there - set(wanted.names)):
        return f"has columns that this version does not know ({', '.join(unknown)}); update the project"
    lacking = [field.name for field in wanted if not field.nullable and field.name not in DERIVED_COLUMNS]
    if missing := [name for name in lacking if name not in there]:
        return f"lacks the columns {', '.join(missing)}; {REDO}"
    return None


def _relative(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _has_digest(path: Path, sha256: str) -> bool:
    return path.exists() and digest_bytes(path.read_bytes()) == sha256
