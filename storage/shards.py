"""Immutable Parquet shards: the results of every batch. Any number of processes may write at once.

shards/<stage_key>/<table>-<digest>.parquet     rows, named by their content, never changed
shards/<stage_key>/<batch_id>.json              the batch's manifest, written last: it makes the batch visible
shards/<stage_key>/superseded/<batch_id>-<digest>.json   manifests that a forced redo replaced
shards/<stage_key>/packed-<digest>.zip          shards that are no longer files of their own (storage.packs)
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field

from storage.columns import RECORD_OF_TABLE, from_parquet, to_parquet
from storage.faults import StorageFault
from storage.files import WRITING, FileName, check_name, write_atomic, writing_in
from storage.ids import ID_LENGTH, digest_bytes
from storage.json_files import read_model, to_json
from storage.packs import Packs
from storage.records import Record
from storage.row_digest import digest_of_rows, sum_of

if TYPE_CHECKING:
    from storage.unit_index import UnitIndex

R = TypeVar("R", bound=Record)
RERUN = "the same command again: it computes the batch again (or run its stage with --force)"
MANIFEST = r"^shards/[A-Za-z0-9][A-Za-z0-9._-]*/(superseded/)?[A-Za-z0-9][A-Za-z0-9._-]*\.json$"
REDO = f"run `steca doctor`, then {RERUN}"


class BatchRef(BaseModel):
    """A reference to a written batch: small enough for a cached result, and enough to read and verify the rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    stage_key: FileName
    batch_id: FileName
    manifest: Annotated[str, Field(pattern=MANIFEST)]  # relative to the data folder
    sha256: str  # of the manifest, which holds the shards' own digests
    rows: dict[str, int]  # by table
    content: str = ""  # digest of the rows (storage.row_digest); "" if version 0.3.0 wrote the batch


class Shard(BaseModel):
    """A file with rows of one table."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    table: str
    file: FileName
    sha256: str
    rows: int


class Manifest(BaseModel):
    """The contents of a batch."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    stage_key: FileName
    batch_id: FileName
    shards: tuple[Shard, ...]
    content: str = ""  # digest of the rows (storage.row_digest); "" if version 0.3.0 wrote the batch
    units: dict[str, str] = Field(default_factory=dict)  # task id -> what decided its rows (tasks.task_rows)
    taken_from: tuple[str, ...] = ()  # ids of batches of the same stage key whose rows this batch reuses


class ShardStore:
    """Batches of records under `root`, the data folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "shards"
        self._indexes: dict[str, UnitIndex] = {}
        self._packs: dict[str, Packs] = {}  # by stage key

    def write_batch(
        self,
        stage_key: str,
        batch_id: str,
        records: Sequence[Record],
        units: Mapping[str, str] | None = None,
        taken_from: Sequence[str] = (),
    ) -> BatchRef:
        """Write the records of one batch, in any mix of tables, and return a reference to it. `units` and
        `taken_from` go into the manifest.

        Writing the same records again changes nothing. Other records under the same batch id (a forced redo)
        replace the manifest; the old one is kept under superseded/, and its shards stay.
        Raises StorageFault if the folder cannot be written, or where two records of a table share a key and differ.
        """
        folder = self.folder / check_name("stage key", stage_key)
        check_name("batch id", batch_id)
        tables = _by_table(records)
        shards = tuple(_write_shard(folder, RECORD_OF_TABLE[table], rows) for table, rows in tables.items())
        manifest = Manifest(
            stage_key=stage_key,
            batch_id=batch_id,
            shards=shards,
            content=digest_of_rows(row for rows in tables.values() for row in rows),
            units=dict(units or {}),
            taken_from=tuple(taken_from),
        )
        data = to_json(manifest)
        path = folder / f"{batch_id}.json"
        with writing_in(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / ".lock"):  # else two forced redos could replace each other without a trace
                _keep_superseded(path, data)
                write_atomic(path, data)
        return self.reference(path, manifest, data)

    def read_batch(self, ref: BatchRef) -> list[Record]:
        """All records of a batch, verified. Raises StorageFault if a file is missing or damaged."""
        manifest = self.manifest(ref)
        return [row for shard in manifest.shards for row in self._read_shard(manifest, shard)]

    def read(self, ref: BatchRef, record: type[R]) -> list[R]:
        """The records of one kind in a batch, verified. Raises StorageFault as `read_batch` does."""
        manifest = self.manifest(ref)
        shards = [shard for shard in manifest.shards if shard.table == record.table]
        return [
            row for shard in shards for row in self._read_shard(manifest, shard) if isinstance(row, record)
        ]

    def find(self, stage_key: str, batch_id: str) -> BatchRef | None:
        """The reference to a batch; None if it was never written, or its manifest is damaged."""
        path = self.folder / check_name("stage key", stage_key) / f"{check_name('batch id', batch_id)}.json"
        if not path.exists():
            return None
        try:
            return self.reference(path, *read_manifest(path))
        except StorageFault:
            return None

    def rows_digest(self, refs: Iterable[BatchRef]) -> str:
        """The digest of all rows of some batches together. Batches of version 0.3.0 have to be read for it: then it
        raises StorageFault as `read_batch` does."""
        return sum_of(ref.content or digest_of_rows(self.read_batch(ref)) for ref in refs)

    def holding(self, stage_key: str, units: Collection[str]) -> Iterator[tuple[BatchRef, Manifest]]:
        """The current batches of a stage key that have any of these units and a manifest that can be read, newest
        first."""
        from storage.unit_index import UnitIndex

        folder = self.folder / check_name("stage key", stage_key)
        for path in self._indexes.setdefault(stage_key, UnitIndex(folder)).holding(units):
            try:
                manifest, data = read_manifest(path)
            except StorageFault:
                continue
            yield self.reference(path, manifest, data), manifest

    def manifest(self, ref: BatchRef) -> Manifest:
        """The manifest with the digest in `ref`, also where another has superseded it since. Raises StorageFault if
        it is missing or damaged."""
        path = self.root / ref.manifest
        for candidate in (path, _superseded_path(path, ref.sha256)):
            if candidate.exists():
                manifest, data = read_manifest(candidate)
                if digest_bytes(data) == ref.sha256:
                    return manifest
        raise StorageFault(f"manifest {path} is missing or not the one that was written; {REDO}")

    def verify(self, ref: BatchRef) -> None:
        """Check the files of a batch without parsing their rows. Raises StorageFault as `read_batch` does."""
        manifest = self.manifest(ref)
        for shard in manifest.shards:
            self.verified_bytes(manifest, shard)

    def shard_path(self, manifest: Manifest, shard: Shard) -> Path:
        """Where a shard is, unless it is in a pack."""
        return self.folder / manifest.stage_key / shard.file

    def verified_bytes(self, manifest: Manifest, shard: Shard) -> bytes:
        """The bytes of a shard: a file of its own, else a member of a pack. Raises StorageFault if they cannot be read
        or do not match the digest."""
        path = self.shard_path(manifest, shard)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return self._packed_bytes(manifest, shard)
        except OSError as error:
            raise _unread(path, manifest, str(error.strerror)) from error
        if digest_bytes(data) != shard.sha256:
            raise StorageFault(
                f"shard {path} is corrupt: its {len(data)} bytes do not match its digest; {REDO}"
            )
        return data

    @contextmanager
    def as_files(self, shards: Iterable[tuple[Manifest, Shard]]) -> Iterator[list[Path]]:
        """Files with some shards, in their order, for a reader that needs files. Those of packs are copies, which are
        deleted at the end of the block. Raises StorageFault as `verified_bytes` does."""
        files = []
        with ExitStack() as stack:
            scratch: Path | None = None
            for manifest, shard in shards:
                path = self.shard_path(manifest, shard)
                if not path.exists():
                    data = self.verified_bytes(manifest, shard)
                    scratch = scratch or stack.enter_context(self._scratch())
                    path = scratch / manifest.stage_key / shard.file
                    with writing_in(path.parent):
                        path.parent.mkdir(exist_ok=True)
                        path.write_bytes(data)
                files.append(path)
            yield files

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """A temporary folder in the data folder, which has room for it."""
        place = self.root / "store"
        with writing_in(place):
            place.mkdir(parents=True, exist_ok=True)
            scratch = tempfile.TemporaryDirectory(dir=place, prefix=WRITING)
        with scratch as name:
            yield Path(name)

    def _packed_bytes(self, manifest: Manifest, shard: Shard) -> bytes:
        path = self.shard_path(manifest, shard)
        packs = self._packs.setdefault(manifest.stage_key, Packs(path.parent))
        try:
            data = packs.read(shard.file, shard.sha256)
        except StorageFault as fault:
            raise StorageFault(f"{fault}; {REDO}") from fault
        if data is None:
            raise _unread(path, manifest, "No such file or directory")
        return data

    def _read_shard(self, manifest: Manifest, shard: Shard) -> list[Record]:
        if shard.table not in RECORD_OF_TABLE:
            raise StorageFault(
                f"batch {manifest.batch_id} holds the table {shard.table}, which this version does not read; run its "
                "stage again"
            )
        try:
            return from_parquet(RECORD_OF_TABLE[shard.table], self.verified_bytes(manifest, shard))
        except ValueError as error:
            path = self.shard_path(manifest, shard)
            raise StorageFault(
                f"shard {path} holds no rows of {shard.table} ({str(error)[:300]}); {REDO}"
            ) from error

    def reference(self, path: Path, manifest: Manifest, data: bytes) -> BatchRef:
        """The reference to the batch whose manifest is the file `path` with the bytes `data`."""
        return BatchRef(
            stage_key=manifest.stage_key,
            batch_id=manifest.batch_id,
            manifest=path.relative_to(self.root).as_posix(),
            sha256=digest_bytes(data),
            rows={shard.table: shard.rows for shard in manifest.shards},
            content=manifest.content,
        )


def read_manifest(path: Path) -> tuple[Manifest, bytes]:
    """A manifest and its bytes. Raises StorageFault if it cannot be read or is damaged."""
    return read_model(path, Manifest, "manifest", REDO)


def _unread(path: Path, manifest: Manifest, why: str) -> StorageFault:
    return StorageFault(f"shard {path} of batch {manifest.batch_id} cannot be read: {why}; {REDO}")


def _by_table(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Records by table, tables sorted by name. A record given twice is kept once."""
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
    # Written even where it exists: a forced redo of the same rows repairs a damaged file.
    write_atomic(folder / file, data)
    return Shard(table=record.table, file=file, sha256=digest, rows=len(rows))


def _keep_superseded(path: Path, data: bytes) -> None:
    """Keep a copy of a manifest that is to be replaced by another one, unless it is damaged."""
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
