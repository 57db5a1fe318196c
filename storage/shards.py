"""Immutable Parquet shards: where every batch of work is written, by any number of processes at once.

shards/<stage_key>/<table>-<digest>.parquet     rows, named by their content, never changed
shards/<stage_key>/<batch_id>.json              the batch's manifest, written last: a batch is there or not
shards/<stage_key>/superseded/<batch_id>-<digest>.json   manifests that a forced redo replaced
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from storage.columns import RECORD_OF_TABLE, from_parquet, to_parquet
from storage.content import added, content_of
from storage.faults import StorageFault
from storage.files import check_name, write_atomic, writing_in
from storage.ids import ID_LENGTH, digest_bytes
from storage.records import Record

R = TypeVar("R", bound=Record)
REDO = "run `steca doctor`, then the same command again: what it held is made anew (or run its stage with --force)"


class BatchRef(BaseModel):
    """A written batch: small enough to be a cached result, and enough to read and verify the rows again."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    stage_key: str
    batch_id: str
    manifest: str  # relative to the data folder
    sha256: str  # of the manifest, which holds the shards' own digests
    rows: dict[str, int]  # by table
    content: str = ""  # digest of the rows (storage.content); "" where 0.3.0 wrote the batch


class Shard(BaseModel):
    """One file of rows of one table."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    table: str
    file: str
    sha256: str
    rows: int


class Manifest(BaseModel):
    """What a batch holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    stage_key: str
    batch_id: str
    shards: tuple[Shard, ...]
    content: str = ""  # digest of the rows (storage.content); "" where 0.3.0 wrote the batch
    units: dict[str, str] = Field(default_factory=dict)  # task id -> what decided its rows (tasks.task_rows)
    taken_from: tuple[str, ...] = ()  # ids of batches of the same stage key whose rows this one took over


class ShardStore:
    """Batches of records under `root`, the data folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "shards"

    def write_batch(
        self,
        stage_key: str,
        batch_id: str,
        records: Sequence[Record],
        units: Mapping[str, str] | None = None,
        taken_from: Sequence[str] = (),
    ) -> BatchRef:
        """Write the records of one batch, in any mix of tables, and return the reference to them. `units` and
        `taken_from` go into the manifest.

        Writing the same records again changes nothing. Other records under the same batch id (a forced redo)
        replace the manifest; the old one is kept under superseded/, and its shards stay.
        Raises StorageFault where the folder cannot be written or two records of a table share a key and differ.
        """
        folder = self.folder / check_name("stage key", stage_key)
        check_name("batch id", batch_id)
        tables = _by_table(records)
        shards = tuple(_write_shard(folder, RECORD_OF_TABLE[table], rows) for table, rows in tables.items())
        manifest = Manifest(
            stage_key=stage_key,
            batch_id=batch_id,
            shards=shards,
            content=content_of(row for rows in tables.values() for row in rows),
            units=dict(units or {}),
            taken_from=tuple(taken_from),
        )
        data = (manifest.model_dump_json(indent=1) + "\n").encode()
        path = folder / f"{batch_id}.json"
        with writing_in(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / ".lock"):  # or two forced redos could replace each other unseen
                _keep_superseded(path, data)
                write_atomic(path, data)
        return self.reference(path, manifest, data)

    def read_batch(self, ref: BatchRef) -> list[Record]:
        """All records of a batch, verified. Raises StorageFault where a file is missing, truncated or changed."""
        manifest = self._manifest_of(ref)
        return [row for shard in manifest.shards for row in self._read_shard(manifest, shard)]

    def read(self, ref: BatchRef, record: type[R]) -> list[R]:
        """The records of one kind in a batch, verified; an empty list where it holds none."""
        manifest = self._manifest_of(ref)
        shards = [shard for shard in manifest.shards if shard.table == record.table]
        return [
            row for shard in shards for row in self._read_shard(manifest, shard) if isinstance(row, record)
        ]

    def find(self, stage_key: str, batch_id: str) -> BatchRef | None:
        """The reference to a batch that was written; None where it was not, or its manifest is damaged."""
        path = self.folder / check_name("stage key", stage_key) / f"{check_name('batch id', batch_id)}.json"
        if not path.exists():
            return None
        try:
            return self.reference(path, *read_manifest(path))
        except StorageFault:
            return None

    def content(self, refs: Iterable[BatchRef]) -> str:
        """The digest of all rows of some batches together. Raises StorageFault as `read_batch` does, for batches of
        0.3.0, which have to be read."""
        return added(ref.content or content_of(self.read_batch(ref)) for ref in refs)

    def newest_first(self, stage_key: str) -> Iterator[tuple[BatchRef, Manifest]]:
        """Every current batch of a stage key whose manifest can be read, the one that was written last first."""
        paths = (self.folder / check_name("stage key", stage_key)).glob("*.json")
        for path in sorted(paths, key=lambda path: (-path.stat().st_mtime_ns, path.name)):
            try:
                manifest, data = read_manifest(path)
            except StorageFault:
                continue
            yield self.reference(path, manifest, data), manifest

    def manifest(self, ref: BatchRef) -> Manifest:
        """Raises StorageFault where it is missing or another one."""
        return self._manifest_of(ref)

    def verify(self, ref: BatchRef) -> None:
        """Check a batch's files without reading their rows. Raises StorageFault as `read_batch` does."""
        manifest = self._manifest_of(ref)
        for shard in manifest.shards:
            self.verified(manifest, shard)

    def batches(self) -> Iterator[tuple[BatchRef, Manifest]]:
        """Every current batch, in the order of (stage key, batch id)."""
        for path in sorted(self.folder.glob("*/*.json")):
            manifest, data = read_manifest(path)
            yield self.reference(path, manifest, data), manifest

    def superseded(self) -> Iterator[BatchRef]:
        """Every batch that a forced redo replaced, except one that is current again."""
        for path in sorted(self.folder.glob("*/superseded/*.json")):
            manifest, data = read_manifest(path)
            current = path.parent.parent / f"{manifest.batch_id}.json"
            if not (current.exists() and current.read_bytes() == data):
                yield self.reference(path, manifest, data)

    def shard_path(self, manifest: Manifest, shard: Shard) -> Path:
        return self.folder / manifest.stage_key / shard.file

    def verified(self, manifest: Manifest, shard: Shard) -> bytes:
        """The bytes of a shard; StorageFault where they are not those that were written."""
        path = self.shard_path(manifest, shard)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StorageFault(
                f"shard {path} of batch {manifest.batch_id} cannot be read: {error.strerror}; {REDO}"
            ) from error
        if digest_bytes(data) != shard.sha256:
            raise StorageFault(
                f"shard {path} is corrupt: its {len(data)} bytes are not those that were written; {REDO}"
            )
        return data

    def _read_shard(self, manifest: Manifest, shard: Shard) -> list[Record]:
        if shard.table not in RECORD_OF_TABLE:
            raise StorageFault(
                f"batch {manifest.batch_id} holds the table {shard.table} of an older version; run its stage again"
            )
        return from_parquet(RECORD_OF_TABLE[shard.table], self.verified(manifest, shard))

    def _manifest_of(self, ref: BatchRef) -> Manifest:
        """The manifest that `ref` was given for: the current one, or one that was superseded since."""
        path = self.root / ref.manifest
        for candidate in (path, _superseded_path(path, ref.sha256)):
            if candidate.exists():
                manifest, data = read_manifest(candidate)
                if digest_bytes(data) == ref.sha256:
                    return manifest
        raise StorageFault(f"manifest {path} is missing or not the one that was written; {REDO}")

    def reference(self, path: Path, manifest: Manifest, data: bytes) -> BatchRef:
        """The reference to the batch whose manifest lies at `path` and has the bytes `data`."""
        return BatchRef(
            stage_key=manifest.stage_key,
            batch_id=manifest.batch_id,
            manifest=path.relative_to(self.root).as_posix(),
            sha256=digest_bytes(data),
            rows={shard.table: shard.rows for shard in manifest.shards},
            content=manifest.content,
        )


def read_manifest(path: Path) -> tuple[Manifest, bytes]:
    """A manifest and its bytes. Raises StorageFault where it is truncated or no manifest."""
    try:
        data = path.read_bytes()
        return Manifest.model_validate_json(data), data
    except OSError as error:
        raise StorageFault(f"manifest {path} cannot be read: {error.strerror}; {REDO}") from error
    except ValidationError as error:
        raise StorageFault(f"manifest {path} is truncated or no manifest; {REDO}") from error


def _by_table(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Records by table, tables in order of name; a record given twice counts once."""
    tables: dict[str, dict[tuple[object, ...], Record]] = {}
    for record in records:
        key = tuple(getattr(record, name) for name in record.key)
        known = tables.setdefault(record.table, {}).setdefault(key, record)
        if known is not record and known != record:
            raise StorageFault(f"a batch holds two different rows of {record.table} with the key {key}")
    return {table: list(rows.values()) for table, rows in sorted(tables.items())}


def _write_shard(folder: Path, record: type[Record], rows: Sequence[Record]) -> Shard:
    data = to_parquet(record, rows)
    digest = digest_bytes(data)
    file = f"{record.table}-{digest[:ID_LENGTH]}.parquet"
    # Written even where it exists: a forced redo of the same rows mends a corrupt file.
    write_atomic(folder / file, data)
    return Shard(table=record.table, file=file, sha256=digest, rows=len(rows))


def _keep_superseded(path: Path, data: bytes) -> None:
    """Before a manifest is replaced by another: keep what it said. One that is damaged says nothing."""
    if not path.exists():
        return
    try:
        _, old = read_manifest(path)
    except StorageFault:
        return
    if old != data:
        write_atomic(_superseded_path(path, digest_bytes(old)), old)


def _superseded_path(manifest: Path, sha256: str) -> Path:
    return manifest.parent / "superseded" / f"{manifest.stem}-{sha256[:ID_LENGTH]}.json"
