"""The store: one writer at a time fills a working database and publishes it for any number of readers.

shards/, runs/                 written by the factory (storage.shards, storage.runs): the source of truth
store/working.duckdb           filled by an ingest, under store/ingest.lock
trajectories.duckdb            published (storage.publication), replaced atomically: readers never block or wait
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
from filelock import FileLock

from storage.faults import StorageFault
from storage.files import ABANDONED_AFTER, sweep, writing_in
from storage.ingest.conflicts import rollout_conflicts
from storage.ingest.ingest import Diverged, Standing, bring_up_to_date, standing, transaction
from storage.ingest.refresh import refresh_comparisons, refresh_set_aside, refresh_superseded
from storage.ingest.refresh_runs import refresh_runs, utc
from storage.ingest.scan import SetAside
from storage.publication import Publication, remove_database
from storage.runs import StageState
from storage.shards import ShardStore
from storage.sql.guard import open_guarded
from storage.sql.query_errors import query_error
from storage.sql.schema import failed, has_current_views, migrations, open_database, schema_version


@dataclass(frozen=True)
class IngestReport:
    """The outcome of an ingest."""

    batches: int  # loaded, replaced ones included
    rows: dict[str, int]  # new ones, by table
    published: Path
    seconds: float
    set_aside: tuple[SetAside, ...] = ()  # what could not be ingested, and why
    rollout_conflicts: int = 0  # rollouts in the store that are not used, as another has the same key
    swept: tuple[Path, ...] = ()  # deleted incomplete files of killed processes


class Store:
    """The store of one data folder."""

    def __init__(self, data_dir: Path) -> None:
        self.root = data_dir
        self.published = data_dir / "trajectories.duckdb"
        self.working = data_dir / "store" / "working.duckdb"
        self._publication = Publication(self.published, self.working)
        self._open: duckdb.DuckDBPyConnection | None = None

    def ingest(self, always_sweep: bool = False) -> IngestReport:
        """Bring the store up to date with the shards and run files, and publish it.

        Safe to call at any time, from any process. A batch whose manifest was deleted is removed from the store. What
        cannot be ingested is set aside with the reason, does not block the rest, and is tried again by every ingest.
        Files that killed processes left are deleted, at most once an hour unless `always_sweep`. Raises StorageFault if
        the store cannot be opened or written; the published file is then unchanged.
        """
        started = time.perf_counter()
        with self.alone():
            swept = self._sweep(always_sweep)
            report = self._grow()
            self._publication.publish()
        return replace(report, seconds=time.perf_counter() - started, swept=swept)

    def rebuild(self) -> IngestReport:
        """Build a new store from the shards and run files, and publish it. Raises StorageFault as `ingest` does."""
        started = time.perf_counter()
        with self.alone():
            swept = self._sweep(always=True)
            fresh = self.working.with_name("rebuilding.duckdb")
            remove_database(fresh)
            report = self._fill(fresh)
            remove_database(self.working)
            os.replace(fresh, self.working)
            self._publication.publish(keep=False)
        return replace(report, seconds=time.perf_counter() - started, swept=swept)

    def query(
        self, sql: str, params: Sequence[object] | dict[str, object] = ()
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """(column names, rows) of a query on the published file, which it only reads. It reaches no other file.

        Raises StorageFault if nothing is published yet, or with DuckDB's message where the SQL is wrong. The message
        says so where an earlier version published the file, whose views and columns differ.
        """
        if not self.published.exists():
            raise self.nothing_published()
        try:
            with self._open.cursor() if self._open else self.connect() as connection:
                cursor = connection.execute(sql, params)
                return [column[0] for column in cursor.description or ()], cursor.fetchall()
        except duckdb.Error as error:
            raise self.fault(error) from error

    @contextmanager
    def opened(self) -> Iterator[None]:
        """For several queries: the published file is opened once, which takes as long as a short query. All queries of
        the block, and of every `Store` of this process, see what was published when it began: do not ingest in it.
        Not for several threads. Where the file cannot be opened, each query says why."""
        with ExitStack() as stack:
            if self._open is None and self.published.exists():
                with suppress(duckdb.Error):
                    self._open = stack.enter_context(self.connect())
                    stack.callback(setattr, self, "_open", None)
            yield

    @contextmanager
    def reading(self, **settings: Any) -> Iterator[duckdb.DuckDBPyConnection]:
        """The published file, read-only, for long reads: on a connection of its own with these settings of DuckDB.
        What is published meanwhile is not seen.

        Raises StorageFault where nothing is published, and for every error of DuckDB in the block.
        """
        if not self.published.exists():
            raise self.nothing_published()
        try:
            with self.connect(**settings) as connection:
                yield connection
        except duckdb.Error as error:
            raise self.fault(error) from error

    def nothing_published(self) -> StorageFault:
        """The fault of a store that has no published file."""
        return StorageFault(
            f"nothing is published in {self.root} yet: `steca doctor` publishes what there is"
        )

    def fault(self, error: duckdb.Error) -> StorageFault:
        """The fault for an error of a query. Names that are not known may be those of another version."""
        unknown = isinstance(error, duckdb.CatalogException | duckdb.BinderException)
        advice = f"; an older version published {self.published}: `steca doctor` brings it up to date"
        return StorageFault(query_error(error) + (advice if unknown and self.outdated() else ""))

    def holds(self, run: str, states: Sequence[StageState]) -> bool:
        """Whether the published file has these states of a run's stages, and all their batches."""
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
        except StorageFault:  # an older version published it
            return False
        if self.outdated():
            return False
        wanted = [(state.round, state.stage, state.status, utc(state.ended_at)) for state in states]
        refs = sum(len({(ref.stage_key, ref.batch_id) for ref in (*s.batches, *s.calls)}) for s in states)
        return stages == sorted(wanted) and batches == refs

    def set_aside_of(self, run: str) -> list[tuple[str, str]]:
        """(manifest, reason) of a run's batches that are not in the store. Raises StorageFault as `query` does."""
        rows = self.query(
            "SELECT DISTINCT manifest, reason FROM run_batches JOIN set_aside_batches USING (stage_key, batch_id) "
            "WHERE run_id = ? ORDER BY ALL",
            [run],
        )[1]
        return [(manifest, reason) for manifest, reason in rows]

    def connect(self, **settings: Any) -> duckdb.DuckDBPyConnection:
        """A connection to the published file, which reads only this, with these settings of DuckDB, which no query can
        change. Every query is asked on such a connection. Raises duckdb.Error."""
        return open_guarded(self.published, settings)

    def outdated(self) -> bool:
        """Whether the published file has an older schema, or other views, than this code."""
        try:
            with self.connect() as connection:
                present, newest = schema_version(connection), migrations()[-1][0]
                return present < newest or (present == newest and not has_current_views(connection))
        except duckdb.Error:
            return False

    def _grow(self) -> IngestReport:
        """Bring the working database up to date."""
        behind = self._publication.prepare()
        try:
            return self._fill(self.working, self._standing() if behind else None)
        except Diverged:  # shards that were loaded are damaged now: what was loaded stays
            self._publication.copy_back()
            return self._fill(self.working)

    def _standing(self) -> Standing:
        """What the published file holds, which nobody has changed."""
        try:
            with self.connect() as connection:
                return standing(connection)
        except duckdb.Error as error:
            raise failed(f"cannot read {self.published}", error) from error

    def _fill(self, path: Path, published: Standing | None = None) -> IngestReport:
        """Load what is missing in the database `path`, first what is published already."""
        shards = ShardStore(self.root)
        connection = open_database(path)
        try:
            loaded = bring_up_to_date(connection, shards, published)
            with transaction(connection):
                aside = loaded.set_aside + refresh_superseded(connection, shards)
                aside += refresh_runs(connection, self.root)
                aside += refresh_comparisons(connection, self.root)
                refresh_set_aside(connection, aside)
            connection.execute("CHECKPOINT")
            conflicts = rollout_conflicts(connection)
        except duckdb.Error as error:
            raise failed(f"cannot ingest into {path}", error) from error
        finally:
            connection.close()
        return IngestReport(loaded.batches, dict(loaded.rows), self.published, 0.0, tuple(aside), conflicts)

    def _sweep(self, always: bool) -> tuple[Path, ...]:
        """Sweep the data folder, once in the time after which there may be something new to sweep: the folder may have
        a million others in it."""
        last = self.working.with_name("swept")
        if not always and last.exists() and 0 <= time.time() - last.stat().st_mtime < ABANDONED_AFTER:
            return ()
        swept = sweep(self.root)
        last.touch()
        return tuple(swept)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One ingest at a time, or one change of the files that it reads. The kernel releases the lock of a process
        that dies."""
        with writing_in(self.working.parent):
            self.working.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.working.with_name("ingest.lock")):
                yield
