"""Conflicting rows: different rows of two batches under one key, and rollouts that were played twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import duckdb

from storage.ingest.scan import SetAside, StoredBatch
from storage.records import Record
from storage.sql.store_names import store_columns

Holding = tuple[tuple[object, ...], str | None, int]
"""A key under which rows differ, the label of a batch that holds it (None: the table does), and the hash of its row."""


class Contradiction(Exception):
    """Two batches hold different rows under one key. Never leaves this package."""


def find(connection: duckdb.DuckDBPyConnection, record: type[Record]) -> list[Holding]:
    """All batches that hold a key of `incoming` under which rows differ. Needs the temporary table `repeated`."""
    table, keys, fields = record.table, ", ".join(record.key), ", ".join(record.model_fields)
    columns = ", ".join(store_columns(record).values())
    rows = connection.execute(
        f"""WITH held AS (
                SELECT {keys}, batch_label, hash(row({fields})) AS variant
                FROM incoming SEMI JOIN repeated USING ({keys})
                UNION ALL SELECT {keys}, NULL, hash(row({columns})) FROM {table} SEMI JOIN repeated USING ({keys})
            )
            FROM held SEMI JOIN (
                SELECT {keys} FROM held GROUP BY ALL HAVING count(DISTINCT variant) > 1
            ) USING ({keys}) ORDER BY ALL"""
    ).fetchall()
    width = len(record.key)
    return [(row[:width], row[width], row[width + 1]) for row in rows]


def refused(
    batches: Sequence[StoredBatch], holdings: Iterable[tuple[type[Record], Sequence[Holding]]]
) -> list[SetAside]:
    """New batches to set aside: in order, each that contradicts the tables or a batch accepted before it."""
    settled: dict[tuple[object, ...], tuple[int, str]] = {}
    held: dict[str, list[tuple[tuple[object, ...], int]]] = {}
    for record, found in holdings:
        for key, label, variant in found:
            if label is None:
                settled[record.table, *key] = variant, "what is already ingested"
            else:
                held.setdefault(label, []).append(((record.table, *key), variant))
    aside = []
    for batch in batches:
        rows = held.get(batch.label, [])
        wrong = next((key for key, variant in rows if settled.get(key, (variant, ""))[0] != variant), None)
        if wrong is None:
            settled |= {key: (variant, f"batch {batch.label}") for key, variant in rows}
        else:
            aside.append(batch.set_aside(_reason(batch, wrong, settled[wrong][1])))
    return aside


def _reason(batch: StoredBatch, key: tuple[object, ...], other: str) -> str:
    table, *values = key
    return (
        f"batch {batch.label} holds another row of {table} under the key {', '.join(map(str, values))} than {other}; "
        "run the stage of the wrong one again with --force, or delete its manifest"
    )


def update_rollout_conflicts(connection: duckdb.DuckDBPyConnection, changed: str) -> None:
    """Bring rollout_conflicts up to date where the step rewards that the query `changed` gives have other rollouts now:
    of rollouts with the same step reward and sample index, it holds all but the one with the smallest id."""
    connection.execute(f"DELETE FROM rollout_conflicts WHERE step_reward_id IN ({changed})")
    connection.execute(
        f"""INSERT INTO rollout_conflicts BY NAME
            SELECT rollout_id, step_reward_id, sample_index, used FROM (
                SELECT
                    rollout_id, step_reward_id, sample_index,
                    min(rollout_id) OVER (PARTITION BY step_reward_id, sample_index) AS used
                FROM rollouts WHERE step_reward_id IN ({changed})
            ) WHERE rollout_id <> used"""
    )


def rollout_conflicts(connection: duckdb.DuckDBPyConnection) -> int:
    """The number of rollouts that are not used, as another has the same key."""
    return int(connection.execute("SELECT count(*) FROM rollout_conflicts").fetchall()[0][0])
