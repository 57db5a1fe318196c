"""What lies in a data folder, whatever state it is in: what can be read, and why the rest cannot."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError

from storage.columns import RECORD_OF_TABLE, arrow_schema
from storage.faults import StorageFault
from storage.ids import digest_bytes
from storage.ingest.older import FORMER, MADE_HERE
from storage.runs import RunInfo, StageState
from storage.shards import REDO, BatchRef, Manifest, Shard, ShardStore, read_manifest

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class SetAside:
    """Something that was left out, and why: one line that says what to do. `stage_key` and `batch_id` are those of a
    batch; None for a run file or the manifest of a replaced batch."""

    file: str  # relative to the data folder
    reason: str
    stage_key: str | None = None
    batch_id: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class StoredBatch:
    """A batch that is there."""

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
    """Every current batch in the order of its manifest's path, and the manifests that cannot be used."""
    found: list[StoredBatch] = []
    aside: list[SetAside] = []
    for path in sorted(shards.folder.glob("*/*.json")):
        batch = _batch(shards, path)
        if isinstance(batch, StoredBatch) and batch.name != (path.parent.name, path.stem):
            reason = f"manifest {path} is that of batch {batch.label}: a copy? delete it"
            batch = _unusable_manifest(shards.root, path, reason)
        found.append(batch) if isinstance(batch, StoredBatch) else aside.append(batch)
    return found, aside


def replaced_batches(shards: ShardStore) -> tuple[list[BatchRef], list[SetAside]]:
    """Every batch that a forced redo replaced, except one that is current again; and what cannot be read of them."""
    found: list[BatchRef] = []
    aside: list[SetAside] = []
    for path in sorted(shards.folder.glob("*/superseded/*.json")):
        batch = _batch(shards, path)
        if isinstance(batch, SetAside):
            aside.append(SetAside(batch.file, batch.reason))
        elif not _is(path.parent.parent / f"{batch.ref.batch_id}.json", batch.ref.sha256):
            found.append(batch.ref)
    return found, aside


def why_unusable(shards: ShardStore, batch: StoredBatch) -> str | None:
    """What is wrong with the shards of a batch; None where they can be loaded."""
    for shard in batch.manifest.shards:
        if shard.table not in RECORD_OF_TABLE and shard.table not in FORMER:
            return f"batch {batch.label} holds the table {shard.table}, which a newer version wrote: update the project"
        try:
            data = shards.verified(batch.manifest, shard)
        except StorageFault as fault:
            return str(fault)
        if wrong := _wrong_columns(shard, data):
            return f"shard {shards.shard_path(batch.manifest, shard)} {wrong}"
    return None


def run_files(root: Path) -> tuple[list[RunInfo], list[tuple[str, StageState]], list[SetAside]]:
    """Every run, the oldest first; (run id, stage) in the order in which they began; the files that cannot be used."""
    runs: list[RunInfo] = []
    states: list[tuple[str, StageState]] = []
    aside: list[SetAside] = []
    for path in sorted((root / "runs").glob("*/run.json")):
        info = _read(root, path, RunInfo)
        if isinstance(info, RunInfo) and info.run_id != path.parent.name:
            info = SetAside(
                _relative(root, path), f"run file {path} is that of run {info.run_id}: a copy? delete it"
            )
        if isinstance(info, SetAside):
            aside.append(info)
            continue
        runs.append(info)
        for file in sorted((path.parent / "stages").glob("*.json")):
            state = _read(root, file, StageState)
            if isinstance(state, StageState) and f"{state.round}-{state.stage}" != file.stem:
                what = (
                    f"run file {file} is that of stage {state.stage}, round {state.round}: a copy? delete it"
                )
                state = SetAside(_relative(root, file), what)
            aside.append(state) if isinstance(state, SetAside) else states.append((info.run_id, state))
    runs.sort(key=lambda run: (run.created_at, run.run_id))
    states.sort(key=lambda pair: (pair[1].started_at, pair[1].round, pair[1].stage))
    return runs, states, aside


def _batch(shards: ShardStore, path: Path) -> StoredBatch | SetAside:
    try:
        manifest, data = read_manifest(path)
    except StorageFault as fault:
        return _unusable_manifest(shards.root, path, str(fault))
    return StoredBatch(shards.reference(path, manifest, data), manifest)


def _unusable_manifest(root: Path, path: Path, reason: str) -> SetAside:
    digest = digest_bytes(path.read_bytes()) if path.is_file() and os.access(path, os.R_OK) else None
    return SetAside(_relative(root, path), reason, path.parent.name, path.stem, digest)


def _wrong_columns(shard: Shard, data: bytes) -> str | None:
    """Why the bytes of a shard, which are those that were written, do not fit their table."""
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        return f"is no Parquet file ({error}); {REDO}"
    if file.metadata.num_rows != shard.rows:
        return f"has {file.metadata.num_rows} rows, its manifest says {shard.rows}; {REDO}"
    if shard.table in FORMER:
        return None
    wanted, there = arrow_schema(RECORD_OF_TABLE[shard.table]), set(file.schema_arrow.names)
    if unknown := sorted(there - set(wanted.names)):
        return f"has columns that this version does not know ({', '.join(unknown)}): update the project"
    lacking = [field.name for field in wanted if not field.nullable and field.name not in MADE_HERE]
    if missing := [name for name in lacking if name not in there]:
        return f"lacks the columns {', '.join(missing)}; {REDO}"
    return None


def _read(root: Path, path: Path, kind: type[M]) -> M | SetAside:
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"]))
        why = f"is damaged, or a newer version wrote it ({at + ': ' if at else ''}{first['msg']}): update the project"
    return SetAside(_relative(root, path), f"run file {path} {why}, or delete it and run its run again")


def _relative(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _is(path: Path, sha256: str) -> bool:
    return path.exists() and digest_bytes(path.read_bytes()) == sha256
