"""Bring the tables up to date with the shards. A batch that cannot be loaded is set aside; the others are loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import duckdb

from storage.ingest.conflicts import Contradiction, refresh_rollout_conflicts, refused
from storage.ingest.loading import MACROS, Unloadable, contradictions, drop_unused_sets, forget, load
from storage.ingest.scan import SetAside, StoredBatch, present_batches, why_unusable
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


def bring_up_to_date(connection: duckdb.DuckDBPyConnection, shards: ShardStore) -> Loaded:
    """Load new batches, and remove those that were deleted or replaced.

    Of two contradicting batches, an ingested one stays; of two new ones, the first by the path of its manifest. Batches
    that an earlier ingest set aside are tried again after the new ones.
    """
    connection.execute(MACROS)
    present, unreadable = present_batches(shards)
    fresh, again, stale = _changed(connection, present)
    if stale:
        with transaction(connection):
            forget(connection, stale)
            _update_dependents(connection, rollouts=True)
    done = Loaded(set_aside=unreadable)
    for group in (fresh, again):
        usable = []
        for batch in group:
            reason = why_unusable(shards, batch)
            done.set_aside.append(batch.set_aside(reason)) if reason else usable.append(batch)
        done.add(_load_what_can_be(connection, shards, usable))
    return done


def _update_dependents(connection: duckdb.DuckDBPyConnection, rollouts: bool) -> None:
    """Update what depends on changed tables. `rollouts`: that table is one of them."""
    drop_unused_sets(connection)
    if rollouts:
        refresh_rollout_conflicts(connection)


def _changed(
    connection: duckdb.DuckDBPyConnection, present: Sequence[StoredBatch]
) -> tuple[list[StoredBatch], list[StoredBatch], list[tuple[str, str]]]:
    """(new batches, batches that were set aside before, names of batches to remove)."""
    sql = "SELECT stage_key, batch_id, sha256 FROM {}"
    known = {
        (key, batch): sha for key, batch, sha in connection.execute(sql.format("ingested_batches")).fetchall()
    }
    before = set(connection.execute(sql.format("set_aside_batches")).fetchall())
    there = {batch.name: batch.ref.sha256 for batch in present}
    unseen = [batch for batch in present if known.get(batch.name) != batch.ref.sha256]
    again = [batch for batch in unseen if (*batch.name, batch.ref.sha256) in before]
    fresh = [batch for batch in unseen if (*batch.name, batch.ref.sha256) not in before]
    return fresh, again, [name for name, sha256 in known.items() if there.get(name) != sha256]


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
            _update_dependents(connection, bool(rows.get("rollouts")))
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
