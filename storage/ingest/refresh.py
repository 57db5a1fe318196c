"""Refill small tables from the files of the data folder. Runs inside the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import duckdb

from storage.comparisons import ArmDifference, ComparisonState
from storage.ingest.read_files import insert_rows
from storage.ingest.scan import SetAside, comparison_files, superseded_batches
from storage.shards import ShardStore


def refresh_comparisons(connection: duckdb.DuckDBPyConnection, root: Path) -> list[SetAside]:
    """Refill comparisons and comparison_differences from the comparison files. Returns those that cannot be used."""
    found, aside = comparison_files(root)
    _fill(connection, "comparisons", [row for state in found for row in _compared_rows(state)])
    differences = [_difference_row(state, difference) for state in found for difference in state.differences]
    _fill(connection, "comparison_differences", differences)
    return aside


def refresh_superseded(connection: duckdb.DuckDBPyConnection, shards: ShardStore) -> list[SetAside]:
    """Refill superseded_batches from the manifests that forced redos replaced. Returns those that cannot be used."""
    refs, aside = superseded_batches(shards)
    rows = {(ref.stage_key, ref.batch_id, ref.sha256): ref.manifest for ref in refs}
    _fill(
        connection,
        "superseded_batches",
        [[key, batch, manifest, sha] for (key, batch, sha), manifest in rows.items()],
    )
    return aside


def refresh_set_aside(connection: duckdb.DuckDBPyConnection, aside: Sequence[SetAside]) -> None:
    """Refill set_aside_batches and set_aside_files."""
    batches = [item for item in aside if item.batch_id is not None]
    files = [item for item in aside if item.batch_id is None]
    rows = [[item.stage_key, item.batch_id, item.file, item.sha256, item.reason] for item in batches]
    _fill(connection, "set_aside_batches", rows)
    _fill(connection, "set_aside_files", [[item.file, item.reason] for item in files])


def _fill(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Sequence[object]]) -> None:
    connection.execute(f"DELETE FROM {table}")
    insert_rows(connection, table, rows)


def _compared_rows(state: ComparisonState) -> list[list[object]]:
    return [
        [state.name, run.arm, run.seed, run.run_id, json.dumps(run.overrides), run.arm == state.reference]
        for run in state.runs
    ]


def _difference_row(state: ComparisonState, found: ArmDifference) -> list[object]:
    tested = [state.name, found.arm, state.reference, found.split, found.start, list(found.seeds)]
    return [*tested, found.pairs, found.difference, found.low, found.high, found.measure]
