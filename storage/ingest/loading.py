"""Load batches into the tables of the working database. Every function runs inside the caller's transaction.

A row is stored once, under its primary key, however many batches produced it. Its `provenance` names the *set* of
those batches (`provenance_batches` lists the members), so that runs which share a cached batch, and batches which
repeat each other's work, all lead to the same row, whatever the order in which they were loaded.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence

import duckdb

from storage.columns import RECORD_OF_TABLE, sql_columns
from storage.ingest.conflicts import Contradiction, Holding, find
from storage.ingest.older import FORMER, complete, present_table
from storage.ingest.refresh import insert_rows
from storage.records import RECORDS, Record
from storage.scan import StoredBatch
from storage.shards import Shard, ShardStore
from storage.sql.store_names import store_columns

# A label is "<stage_key>/<batch_id>"; neither part may hold a slash.
MACROS = """
CREATE OR REPLACE TEMP MACRO label_of(stage_key, batch_id) AS stage_key || '/' || batch_id;
CREATE OR REPLACE TEMP MACRO set_name(labels) AS left(md5(array_to_string(list_sort(labels), ' ')), 16);
"""


class Unloadable(Exception):
    """A shard did not arrive whole. Never leaves this package."""


def load(
    connection: duckdb.DuckDBPyConnection, shards: ShardStore, batches: Sequence[StoredBatch]
) -> dict[str, int]:
    """Load batches that the tables do not hold and whose shards were verified. Returns new rows by table.

    Raises Contradiction where batches hold different rows under one key, Unloadable or DuckDB's error where one
    cannot be loaded.
    """
    loaded: dict[str, int] = {}
    for record in _staged(connection, shards, batches):
        loaded[record.table] = _load_staged(connection, record)
    rows = [(*batch.name, batch.ref.manifest, batch.ref.sha256) for batch in batches]
    insert_rows(connection, "ingested_batches", rows)
    return loaded


def contradictions(
    connection: duckdb.DuckDBPyConnection, shards: ShardStore, batches: Sequence[StoredBatch]
) -> list[tuple[type[Record], list[Holding]]]:
    """By kind of record, who holds which row under the keys that batches, or they and the tables, do not agree on."""
    found = []
    for record in _staged(connection, shards, batches):
        _mark_repeated(connection, record)
        found.append((record, find(connection, record)))
    return found


def forget(connection: duckdb.DuckDBPyConnection, names: Sequence[tuple[str, str]]) -> None:
    """Take batches out that were loaded before: rows that only they produced go, shared ones stay."""
    connection.execute("CREATE OR REPLACE TEMP TABLE gone (stage_key VARCHAR, batch_id VARCHAR)")
    insert_rows(connection, "gone", names)
    connection.execute(
        """CREATE OR REPLACE TEMP TABLE remaining AS
           SELECT provenance, list(label_of(o.stage_key, o.batch_id)) FILTER (g.stage_key IS NULL) AS labels
           FROM provenance_batches o LEFT JOIN gone g USING (stage_key, batch_id)
           GROUP BY provenance HAVING count(g.stage_key) > 0"""
    )
    connection.execute("DELETE FROM ingested_batches WHERE (stage_key, batch_id) IN (FROM gone)")
    _name_sets(connection, "SELECT labels FROM remaining WHERE labels IS NOT NULL")
    for table in RECORD_OF_TABLE:
        connection.execute(
            f"DELETE FROM {table} WHERE provenance IN (SELECT provenance FROM remaining WHERE labels IS NULL)"
        )
        connection.execute(
            f"""UPDATE {table} SET provenance = set_name(labels) FROM remaining
                WHERE {table}.provenance = remaining.provenance AND labels IS NOT NULL"""
        )


def drop_unused_sets(connection: duckdb.DuckDBPyConnection) -> None:
    """Forget sets of batches that no row names any more."""
    used = " UNION ".join(f"SELECT provenance FROM {table}" for table in RECORD_OF_TABLE)
    connection.execute(f"DELETE FROM provenance_batches WHERE provenance NOT IN ({used})")


def _staged(
    connection: duckdb.DuckDBPyConnection, shards: ShardStore, batches: Sequence[StoredBatch]
) -> Iterator[type[Record]]:
    """Each kind of record that the batches hold, while the temporary table `incoming` has its rows."""
    for record in RECORDS:
        found = [
            (batch, shard)
            for batch in batches
            for shard in batch.manifest.shards
            if present_table(shard.table) == record.table
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
    # Columns spelt out: made by CREATE ... AS ... LIMIT 0 instead, DuckDB 2.0 keeps the statistics of an empty
    # table when more than a row group is inserted in the same transaction, and later queries find nothing.
    connection.execute(f"CREATE OR REPLACE TEMP TABLE incoming ({sql_columns(record)}, batch_label VARCHAR)")
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE files (shard_file VARCHAR, batch_label VARCHAR, n BIGINT)"
    )
    paths = [str(shards.shard_path(batch.manifest, shard)) for batch, shard in found]
    rows = [(path, batch.label, shard.rows) for path, (batch, shard) in zip(paths, found, strict=True)]
    insert_rows(connection, "files", rows)
    for table in sorted({shard.table for _, shard in found}):
        columns = FORMER[table][1] if table in FORMER else "shard.* EXCLUDE (shard_file)"
        of_table = [path for path, (_, shard) in zip(paths, found, strict=True) if shard.table == table]
        # BY NAME, by union: a shard of an older version lacks the columns that were added since.
        connection.execute(
            f"""INSERT INTO incoming BY NAME SELECT {columns}, batch_label
                FROM read_parquet($paths, union_by_name = true, filename = 'shard_file') shard
                JOIN files USING (shard_file)""",
            # A set, as batches of one stage with equal rows share a file; escaped, as DuckDB takes paths for patterns.
            {"paths": sorted({glob.escape(path) for path in of_table})},
        )
    short = connection.execute(
        """SELECT shard_file FROM files
           LEFT JOIN (SELECT batch_label, count(*) AS staged FROM incoming GROUP BY ALL) USING (batch_label)
           WHERE staged IS DISTINCT FROM n LIMIT 1"""
    ).fetchone()
    if short:
        raise Unloadable(f"{short[0]} did not load whole")
    complete(connection, record)


def _load_staged(connection: duckdb.DuckDBPyConnection, record: type[Record]) -> int:
    """Move `incoming` into its table. Returns the number of new rows."""
    table, keys, fields = record.table, ", ".join(record.key), ", ".join(record.model_fields)
    columns = ", ".join(store_columns(record).values())
    new = 0
    if _mark_repeated(connection, record):
        if find(connection, record):
            raise Contradiction
        _merge_provenance(connection, record)
        new += _changed(
            connection,
            f"""INSERT INTO {table} ({columns}, provenance)
                SELECT DISTINCT ON ({keys}) {fields}, set_name(labels)
                FROM incoming JOIN merged USING ({keys}) ANTI JOIN {table} USING ({keys})""",
        )
    _name_sets(connection, "SELECT DISTINCT [batch_label] AS labels FROM incoming")
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


def _merge_provenance(connection: duckdb.DuckDBPyConnection, record: type[Record]) -> None:
    """Temporary table `merged`: each repeated key with all its batches; rows that are there take them over."""
    table, keys = record.table, ", ".join(record.key)
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


def _name_sets(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Name each set of batches that `query` gives as a column `labels`."""
    connection.execute(
        f"""INSERT INTO provenance_batches
            SELECT DISTINCT provenance, split_part(batch_label, '/', 1), split_part(batch_label, '/', 2)
            FROM (SELECT set_name(labels) AS provenance, unnest(labels) AS batch_label FROM ({query}))
            ON CONFLICT DO NOTHING"""
    )


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])


def _changed(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    """Rows that an INSERT, UPDATE or DELETE touched."""
    return int(connection.execute(sql).fetchall()[0][0])
