"""Load batches into the tables of the working database. Every function runs inside the caller's transaction.

A row is stored once, under its primary key, however many batches produced it. Its `provenance` names the *set* of these
batches (`provenance_batches` lists the members). So runs that share a cached batch, and batches with equal work, share
the row, in whatever order they are loaded.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence

import duckdb

from storage.columns import RECORD_OF_TABLE, sql_columns
from storage.ingest.conflicts import Contradiction, Holding, find, update_rollout_conflicts
from storage.ingest.read_files import insert_rows
from storage.ingest.scan import StoredBatch
from storage.ingest.version_030 import RETIRED_TABLES, current_table, upgrade_rows
from storage.records import RECORDS, Record, RolloutRecord
from storage.shards import Shard, ShardStore
from storage.sql.store_names import store_columns

# A label is "<stage_key>/<batch_id>"; neither part may hold a slash.
MACROS = """
CREATE OR REPLACE TEMP MACRO label_of(stage_key, batch_id) AS stage_key || '/' || batch_id;
CREATE OR REPLACE TEMP MACRO set_name(labels) AS left(md5(array_to_string(list_sort(labels), ' ')), 16);
"""


class Unloadable(Exception):
    """A shard was not loaded completely. Never leaves this package."""


def load(
    connection: duckdb.DuckDBPyConnection, shards: ShardStore, batches: Sequence[StoredBatch]
) -> dict[str, int]:
    """Load new batches with verified shards. Returns the numbers of new rows by table.

    Raises Contradiction if batches hold different rows under one key, and Unloadable or DuckDB's error where a batch
    cannot be loaded.
    """
    loaded: dict[str, int] = {}
    replaced = list[str]()
    for record in _staged(connection, shards, batches):
        loaded[record.table] = _load_staged(connection, record, replaced)
        if record is RolloutRecord:
            update_rollout_conflicts(connection, "SELECT step_reward_id FROM incoming")
    _drop_unused_sets(connection, replaced)
    rows = [(*batch.name, batch.ref.manifest, batch.ref.sha256) for batch in batches]
    insert_rows(connection, "ingested_batches", rows)
    return loaded


def contradictions(
    connection: duckdb.DuckDBPyConnection, shards: ShardStore, batches: Sequence[StoredBatch]
) -> list[tuple[type[Record], list[Holding]]]:
    """By kind of record: the keys with different rows in batches, or in a batch and the table, and which hold which
    row."""
    found = []
    for record in _staged(connection, shards, batches):
        _mark_repeated(connection, record)
        found.append((record, find(connection, record)))
    return found


def forget(connection: duckdb.DuckDBPyConnection, names: Sequence[tuple[str, str]]) -> None:
    """Remove loaded batches: rows that only they produced are deleted, shared rows stay."""
    connection.execute("CREATE OR REPLACE TEMP TABLE gone (stage_key VARCHAR, batch_id VARCHAR)")
    insert_rows(connection, "gone", names)
    connection.execute(
        """CREATE OR REPLACE TEMP TABLE remaining AS
           SELECT provenance, list(label_of(o.stage_key, o.batch_id)) FILTER (g.stage_key IS NULL) AS labels
           FROM provenance_batches o LEFT JOIN gone g USING (stage_key, batch_id)
           GROUP BY provenance HAVING count(g.stage_key) > 0"""
    )
    gone = "SELECT provenance FROM remaining WHERE labels IS NULL"
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE rollouts_gone AS
            SELECT DISTINCT step_reward_id FROM rollouts WHERE provenance IN ({gone})"""
    )
    connection.execute("DELETE FROM ingested_batches WHERE (stage_key, batch_id) IN (FROM gone)")
    _name_sets(connection, "SELECT labels FROM remaining WHERE labels IS NOT NULL")
    for table in RECORD_OF_TABLE:
        connection.execute(f"DELETE FROM {table} WHERE provenance IN ({gone})")
        connection.execute(
            f"""UPDATE {table} SET provenance = set_name(labels) FROM remaining
                WHERE {table}.provenance = remaining.provenance AND labels IS NOT NULL"""
        )
    replaced = connection.execute(
        "SELECT provenance FROM remaining UNION SELECT set_name(labels) FROM remaining"
    )
    _drop_unused_sets(connection, [name for (name,) in replaced.fetchall() if name])
    update_rollout_conflicts(connection, "SELECT step_reward_id FROM rollouts_gone")


def _drop_unused_sets(connection: duckdb.DuckDBPyConnection, replaced: Sequence[str]) -> None:
    """Of sets of batches that rows had before another took its place, delete those that no row refers to any more."""
    if replaced:
        used = " UNION ".join(
            f"SELECT provenance FROM {table} WHERE provenance IN (SELECT unnest($names))"
            for table in RECORD_OF_TABLE
        )
        connection.execute(
            f"""DELETE FROM provenance_batches
                WHERE provenance IN (SELECT unnest($names)) AND provenance NOT IN ({used})""",
            {"names": list(replaced)},
        )


def _staged(
    connection: duckdb.DuckDBPyConnection, shards: ShardStore, batches: Sequence[StoredBatch]
) -> Iterator[type[Record]]:
    """Each kind of record in the batches, while the temporary table `incoming` holds its rows."""
    for record in RECORDS:
        found = [
            (batch, shard)
            for batch in batches
            for shard in batch.manifest.shards
            if current_table(shard.table) == record.table
        ]
        if found:
            _stage(connection, shards, record, found)
            yield record


def _stage(
    connection: duckdb.DuckDBPyConnection,
    shards: ShardStore,
    record: type[Record],
    found: Sequence[tuple[StoredBatch, Shard]],
) -> None:
    """Temporary table `incoming`: the rows of the shards of one table, each with the label of its batch."""
    # Columns are spelled out: after CREATE ... AS ... LIMIT 0, DuckDB 2.0 keeps the statistics of an empty table when
    # more than a row group is inserted in the same transaction, and later queries find nothing.
    connection.execute(f"CREATE OR REPLACE TEMP TABLE incoming ({sql_columns(record)}, batch_label VARCHAR)")
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE files (shard_file VARCHAR, batch_label VARCHAR, n BIGINT)"
    )
    with shards.as_files((batch.manifest, shard) for batch, shard in found) as files:
        _read(connection, [str(file) for file in files], found)
    short = connection.execute(
        """SELECT shard_file FROM files
           LEFT JOIN (SELECT batch_label, count(*) AS staged FROM incoming GROUP BY ALL) USING (batch_label)
           WHERE staged IS DISTINCT FROM n LIMIT 1"""
    ).fetchone()
    if short:
        raise Unloadable(f"{short[0]} was not loaded completely")
    upgrade_rows(connection, record)


def _read(
    connection: duckdb.DuckDBPyConnection, paths: Sequence[str], found: Sequence[tuple[StoredBatch, Shard]]
) -> None:
    """Read shards, each from its path, into the tables `incoming` and `files`."""
    rows = [(path, batch.label, shard.rows) for path, (batch, shard) in zip(paths, found, strict=True)]
    insert_rows(connection, "files", rows)
    for table in sorted({shard.table for _, shard in found}):
        columns = RETIRED_TABLES[table][1] if table in RETIRED_TABLES else "shard.* EXCLUDE (shard_file)"
        of_table = [path for path, (_, shard) in zip(paths, found, strict=True) if shard.table == table]
        # BY NAME, by union: a shard of an earlier version lacks columns that were added later.
        connection.execute(
            f"""INSERT INTO incoming BY NAME SELECT {columns}, batch_label
                FROM read_parquet($paths, union_by_name = true, filename = 'shard_file') shard
                JOIN files USING (shard_file)""",
            # A set: batches of one stage with equal rows share a file. Escaped: DuckDB reads paths as patterns.
            {"paths": sorted({glob.escape(path) for path in of_table})},
        )


def _load_staged(connection: duckdb.DuckDBPyConnection, record: type[Record], replaced: list[str]) -> int:
    """Move `incoming` into its table. Returns the number of new rows. Adds to `replaced` the sets of batches in whose
    place rows have another one now."""
    table, keys, fields = record.table, ", ".join(record.key), ", ".join(record.model_fields)
    columns = ", ".join(store_columns(record).values())
    new = 0
    if _mark_repeated(connection, record):
        if find(connection, record):
            raise Contradiction
        replaced += _merge_provenance(connection, record)
        new += _changed(
            connection,
            f"""INSERT INTO {table} ({columns}, provenance)
                SELECT DISTINCT ON ({keys}) {fields}, set_name(labels)
                FROM incoming JOIN merged USING ({keys}) ANTI JOIN {table} USING ({keys})""",
        )
    own = f"SELECT DISTINCT [batch_label] AS labels FROM incoming ANTI JOIN repeated USING ({keys})"
    _name_sets(connection, own)
    return new + _changed(
        connection,
        f"""INSERT INTO {table} ({columns}, provenance)
            SELECT {fields}, set_name([batch_label]) FROM incoming ANTI JOIN repeated USING ({keys})""",
    )


def _mark_repeated(connection: duckdb.DuckDBPyConnection, record: type[Record]) -> int:
    """Temporary table `repeated`: the keys of `incoming` that more than one batch holds. Returns how many."""
    keys = ", ".join(record.key)
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE repeated AS
            SELECT {keys} FROM incoming GROUP BY ALL HAVING count(*) > 1
            UNION SELECT {keys} FROM incoming SEMI JOIN {record.table} USING ({keys})"""
    )
    return _count(connection, "repeated")


def _merge_provenance(connection: duckdb.DuckDBPyConnection, record: type[Record]) -> list[str]:
    """Temporary table `merged`: each repeated key with all its batches. Rows in the table get the merged set.
    Returns the sets that they had."""
    table, keys = record.table, ", ".join(record.key)
    had = connection.execute(f"SELECT DISTINCT provenance FROM {table} SEMI JOIN repeated USING ({keys})")
    replaced = [name for (name,) in had.fetchall()]
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE merged AS
            SELECT {keys}, list(batch_label) AS labels FROM (
                SELECT {keys}, batch_label FROM incoming SEMI JOIN repeated USING ({keys})
                UNION SELECT {keys}, label_of(stage_key, batch_id)
                FROM {table} SEMI JOIN repeated USING ({keys}) JOIN provenance_batches USING (provenance))
            GROUP BY ALL"""
    )
    _name_sets(connection, "SELECT labels FROM merged")
    match = " AND ".join(f"{table}.{key} = merged.{key}" for key in record.key)
    connection.execute(f"UPDATE {table} SET provenance = set_name(labels) FROM merged WHERE {match}")
    return replaced


def _name_sets(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Record each set of batches that `query` gives as a column `labels`, under its name."""
    connection.execute(
        f"""INSERT INTO provenance_batches
            SELECT DISTINCT provenance, split_part(batch_label, '/', 1), split_part(batch_label, '/', 2)
            FROM (SELECT set_name(labels) AS provenance, unnest(labels) AS batch_label FROM ({query}))
            ON CONFLICT DO NOTHING"""
    )


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])


def _changed(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    """The number of rows that an INSERT, UPDATE or DELETE changed."""
    return int(connection.execute(sql).fetchall()[0][0])
