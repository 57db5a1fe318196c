"""Bring the tables up to date with the shards. A batch that cannot be loaded is set aside; the others are loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import duckdb

from storage.ingest.conflicts import Contradiction, refused
from storage.ingest.loading import MACROS, Unloadable, contradictions, forget, load
from storage.ingest.read_files import known_files, remember
from storage.ingest.scan import SetAside, StoredBatch, manifest_files, read_batches, why_unusable
from storage.shards import ShardStore
from storage.sql.schema import one_line

ROW_ERRORS = (duckdb.DataError, duckdb.IntegrityError, duckdb.ProgrammingError, duckdb.NotSupportedError)
"""DuckDB's errors that rows cause, unlike a full disk or a missing file."""


@dataclass
class Loaded:
    """The outcome of loading batches."""

    batches: int = 0  # loaded, replaced ones included
    rows: Counter[str] = field(default_factory=Counter)  # new ones, by table
    set_aside: list[SetAside] = field(default_factory=list)

    def add(self, other: Loaded) -> None:
        self.batches += other.batches
        self.rows.update(other.rows)
        self.set_aside += other.set_aside


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All of it or nothing."""
    connection.execute("BEGIN")
    try:
        yield
    except BaseException:
        with suppress(duckdb.Error):  # the first error is the one to report
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@dataclass(frozen=True)
class Standing:
    """What a database holds of the batches, by name and digest of the manifest."""

    ingested: frozenset[tuple[str, str, str]]
    set_aside: frozenset[tuple[str, str, str]]


class Diverged(Exception):
    """A database cannot be brought to where another one is. Never leaves the package storage."""


def standing(connection: duckdb.DuckDBPyConnection) -> Standing:
    """What the database holds."""
    sql = "SELECT stage_key, batch_id, sha256 FROM {}"
    ingested = connection.execute(sql.format("ingested_batches")).fetchall()
    return Standing(
        frozenset(ingested), frozenset(connection.execute(sql.format("set_aside_batches")).fetchall())
    )


def bring_up_to_date(
    connection: duckdb.DuckDBPyConnection, shards: ShardStore, published: Standing | None = None
) -> Loaded:
    """Load new batches, and remove those that were deleted or replaced.

    Of two contradicting batches, an ingested one stays; of two new ones, the first by the path of its manifest. Batches
    that an earlier ingest set aside are tried again after the new ones.

    `published`: what the published file holds, where the database may lack some of it. That is loaded first and not
    counted. Raises Diverged where it cannot be loaded.
    """
    connection.execute(MACROS)
    files = manifest_files(shards)
    unread, unchanged = _unread(connection, files)
    present, unreadable = read_batches(shards, unread)
    before = published or standing(connection)
    unseen, stale = _changed(connection, present, unchanged)
    if stale:
        with transaction(connection):
            forget(connection, stale)
    done = Loaded(set_aside=unreadable)
    behind, fresh, again = _in_turn(unseen, before)
    if _load_usable(connection, shards, behind).set_aside:
        raise Diverged
    for group in (fresh, again):
        done.add(_load_usable(connection, shards, group))
    with transaction(connection):
        aside = {item.file for item in done.set_aside}
        gone = known_files(connection, "shards").keys() - files.keys()
        read = {batch.ref.manifest for batch in present} - aside
        remember(connection, {file: files[file] for file in read}, {*gone, *aside})
    return done


def _unread(connection: duckdb.DuckDBPyConnection, files: Mapping[str, str]) -> tuple[set[str], set[str]]:
    """(manifests that have to be read, manifests of ingested batches that are as they were when they were read)."""
    known = known_files(connection, "shards")
    ingested = {file for (file,) in connection.execute("SELECT manifest FROM ingested_batches").fetchall()}
    unchanged = {file for file in ingested if file in files and known.get(file) == files[file]}
    return files.keys() - unchanged, unchanged


def _changed(
    connection: duckdb.DuckDBPyConnection, present: Sequence[StoredBatch], unchanged: Collection[str]
) -> tuple[list[StoredBatch], list[tuple[str, str]]]:
    """(batches that are not in the database, names of batches to remove). `unchanged`: manifests that are in it."""
    sql = "SELECT stage_key, batch_id, sha256, manifest FROM ingested_batches"
    known = {
        (key, batch): sha
        for key, batch, sha, manifest in connection.execute(sql).fetchall()
        if manifest not in unchanged
    }
    there = {batch.name: batch.ref.sha256 for batch in present}
    unseen = [batch for batch in present if known.get(batch.name) != batch.ref.sha256]
    return unseen, [name for name, sha256 in known.items() if there.get(name) != sha256]


def _in_turn(
    unseen: Sequence[StoredBatch], before: Standing
) -> tuple[list[StoredBatch], list[StoredBatch], list[StoredBatch]]:
    """(batches that are published, new ones, those that were set aside before)."""
    behind, fresh, again = list[StoredBatch](), list[StoredBatch](), list[StoredBatch]()
    for batch in unseen:
        which = (*batch.name, batch.ref.sha256)
        (behind if which in before.ingested else again if which in before.set_aside else fresh).append(batch)
    return behind, fresh, again


def _load_usable(
    connection: duckdb.DuckDBPyConnection, shards: ShardStore, batches: Sequence[StoredBatch]
) -> Loaded:
    """Load batches; those with damaged shards are set aside."""
    usable, aside = list[StoredBatch](), list[SetAside]()
    for batch in batches:
        reason = why_unusable(shards, batch)
        aside.append(batch.set_aside(reason)) if reason else usable.append(batch)
    done = _load_what_can_be(connection, shards, usable)
    done.set_aside = aside + done.set_aside
    return done


def _load_what_can_be(
    connection: duckdb.DuckDBPyConnection, shards: ShardStore, batches: Sequence[StoredBatch]
) -> Loaded:
    """Load all batches in one transaction. Where that fails, without those that contradict others; else in halves, down
    to the batches that cannot be loaded."""
    if not batches:
        return Loaded()
    try:
        with transaction(connection):
            rows = load(connection, shards, batches)
        return Loaded(len(batches), Counter(rows))
    except Contradiction:
        return _load_what_agrees(connection, shards, batches)
    except (Unloadable, *ROW_ERRORS) as error:
        return _load_halves(connection, shards, batches, one_line(error))


def _load_what_agrees(
    connection: duckdb.DuckDBPyConnection, shards: ShardStore, batches: Sequence[StoredBatch]
) -> Loaded:
    try:
        with transaction(connection):
            aside = refused(batches, contradictions(connection, shards, batches))
    except (Unloadable, *ROW_ERRORS) as error:
        return _load_halves(connection, shards, batches, one_line(error))
    if not aside:
        return _load_halves(connection, shards, batches, "it holds two different rows under one key")
    wrong = {item.file for item in aside}
    done = _load_what_can_be(connection, shards, [b for b in batches if b.ref.manifest not in wrong])
    done.set_aside += aside
    return done


def _load_halves(
    connection: duckdb.DuckDBPyConnection, shards: ShardStore, batches: Sequence[StoredBatch], why: str
) -> Loaded:
    if len(batches) == 1:
        again = "run its stage again with --force, or delete its manifest"
        reason = f"batch {batches[0].label} cannot be loaded ({why}): {again}"
        return Loaded(set_aside=[batches[0].set_aside(reason)])
    middle = len(batches) // 2
    done = _load_what_can_be(connection, shards, batches[:middle])
    done.add(_load_what_can_be(connection, shards, batches[middle:]))
    return done
