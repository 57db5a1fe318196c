"""The store: one writer at a time fills a working database and publishes copies of it for any number of readers.

shards/, runs/                 what the factory writes (storage.shards, storage.runs): the source of truth
store/working.duckdb           what ingest fills, under store/ingest.lock
trajectories.duckdb            the published copy, replaced whole: readers never block and are never blocked
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from filelock import FileLock

from storage.faults import StorageFault
from storage.files import writing_in
from storage.ingest import bring_up_to_date
from storage.refresh import refresh_runs, refresh_superseded, utc
from storage.runs import StageState
from storage.schema import one_line, open_database
from storage.shards import ShardStore

_COPY_PREFIX = ".publishing-"


@dataclass(frozen=True)
class IngestReport:
    """What an ingest did."""

    batches: int  # loaded, replaced ones included
    rows: dict[str, int]  # new ones, by table
    published: Path
    seconds: float


class Store:
    """The store of one data folder."""

    def __init__(self, data_dir: Path) -> None:
        self.root = data_dir
        self.published = data_dir / "trajectories.duckdb"
        self.working = data_dir / "store" / "working.duckdb"

    def ingest(self) -> IngestReport:
        """Make the store hold what the shards and run files hold, all or nothing, and publish it.

        Safe to call at any time, from any process; a batch whose manifest was deleted leaves the store.
        Raises StorageFault where a file is corrupt or cannot be written, or rows contradict each other; then the
        published file stays as it was.
        """
        started = time.perf_counter()
        with self._locked():
            batches, rows = self._fill(self.working)
            self._publish(self.working)
        return IngestReport(batches, rows, self.published, time.perf_counter() - started)

    def rebuild(self) -> IngestReport:
        """Make the whole store anew from the shards and the run files, then publish it."""
        started = time.perf_counter()
        with self._locked():
            fresh = self.working.with_name("rebuilding.duckdb")
            _remove_database(fresh)
            batches, rows = self._fill(fresh)
            _remove_database(self.working)
            os.replace(fresh, self.working)
            self._publish(self.working)
        return IngestReport(batches, rows, self.published, time.perf_counter() - started)

    def query(
        self, sql: str, params: Sequence[object] | dict[str, object] = ()
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """(column names, rows) of a query on the published file, which it cannot change.

        Raises StorageFault where nothing is published yet, or with DuckDB's message where the SQL is wrong.
        """
        if not self.published.exists():
            raise StorageFault(
                f"nothing is published in {self.root} yet: run a configuration with this data_dir first"
            )
        try:
            # Without replacement scans, or a misspelt table could name one of our own variables.
            with duckdb.connect(
                self.published, read_only=True, config={"python_enable_replacements": False}
            ) as connection:
                cursor = connection.execute(sql, params)
                return [column[0] for column in cursor.description or ()], cursor.fetchall()
        except duckdb.Error as error:
            raise StorageFault(one_line(error)) from error

    def holds(self, run: str, states: Sequence[StageState]) -> bool:
        """Whether the published file has a run's stages as they are, and every batch of them."""
        if not self.published.exists():
            return False
        try:
            stages = self.query(
                "SELECT round, stage, status, ended_at FROM run_stages WHERE run_id = ? ORDER BY ALL", [run]
            )[1]
            batches = self.query(
                """SELECT count(*) FROM run_batches JOIN ingested_batches USING (stage_key, batch_id)
                   WHERE run_id = ? AND run_batches.sha256 = ingested_batches.sha256""",
                [run],
            )[1][0][0]
        except StorageFault:  # of an older version
            return False
        wanted = [(state.round, state.stage, state.status, utc(state.ended_at)) for state in states]
        refs = sum(len({(ref.stage_key, ref.batch_id) for ref in (*s.batches, *s.calls)}) for s in states)
        return stages == sorted(wanted) and batches == refs

    def _fill(self, path: Path) -> tuple[int, dict[str, int]]:
        """Load what `path` lacks, in one transaction. Returns the number of batches and the new rows by table."""
        shards = ShardStore(self.root)
        connection = open_database(path)
        try:
            connection.execute("BEGIN")
            batches, rows = bring_up_to_date(connection, shards)
            refresh_superseded(connection, shards)
            refresh_runs(connection, self.root)
            connection.execute("COMMIT")
            connection.execute("CHECKPOINT")
        except duckdb.Error as error:
            raise StorageFault(f"cannot ingest into {path}: {one_line(error)}") from error
        finally:
            connection.close()
        return batches, rows

    def _publish(self, source: Path) -> None:
        """Copy the closed, checkpointed database and put the copy in place at once."""
        with writing_in(self.root):
            for stale in self.root.glob(f"{_COPY_PREFIX}*"):  # left by a killed ingest
                stale.unlink()
            handle, temporary = tempfile.mkstemp(dir=self.root, prefix=_COPY_PREFIX)
            try:
                with os.fdopen(handle, "wb") as copy, source.open("rb") as original:
                    shutil.copyfileobj(original, copy, 1 << 20)
                    copy.flush()
                    os.fsync(copy.fileno())
                os.chmod(temporary, 0o644)
                # Whoever opened the published file for writing may have left a log that belongs to the old copy.
                Path(f"{self.published}.wal").unlink(missing_ok=True)
                os.replace(temporary, self.published)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One ingest at a time; the system frees the lock of a process that dies."""
        with writing_in(self.working.parent):
            self.working.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.working.with_name("ingest.lock")):
                yield


def _remove_database(path: Path) -> None:
    for file in (path, Path(f"{path}.wal")):
        file.unlink(missing_ok=True)
