"""The rows of a run in a published store, and how they differ from those of an undisturbed run.

Compared is every table of rows with all its columns, except
- provenance: it says which of equal batches a row was loaded with first, and so depends on the order of attempts;
- of llm_calls what tells of time and attempts (TIMES), and the calls that were given up.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import duckdb

TIMES = ("call_id", "server", "started_at", "latency", "waited", "retries", "faults")
Rows = dict[str, Counter[str]]
"""By table, its rows as texts, and how often each is there."""


def rows_of(data_dir: Path, run: str) -> Rows:
    """The rows of a run. A store of version 0.3.0 cannot tell runs apart: then the rows of all its runs. Raises
    duckdb.Error where nothing is published."""
    with duckdb.connect(data_dir / "trajectories.duckdb", read_only=True) as connection:
        found = connection.execute(
            "SELECT table_name FROM duckdb_columns() WHERE column_name = 'provenance' AND table_name IN "
            "(SELECT table_name FROM duckdb_tables())"
        ).fetchall()
        per_run = connection.execute(
            "SELECT count(*) > 0 FROM duckdb_functions() WHERE function_name = 'of_run'"
        ).fetchall()[0][0]
        return {table: Counter(_rows(connection, table, run if per_run else "")) for (table,) in found}


def _rows(connection: duckdb.DuckDBPyConnection, table: str, run: str) -> list[str]:
    left_out = ("provenance", *(TIMES if table == "llm_calls" else ()))
    source = f"of_run('{table}', $run)" if run else table
    only = "WHERE ok" if table == "llm_calls" else ""
    sql = f"SELECT * EXCLUDE ({', '.join(left_out)}) FROM {source} {only}"
    return [repr(row) for row in connection.execute(sql, {"run": run} if run else {}).fetchall()]


def lost(expected: Rows, found: Rows) -> int:
    """How many rows of an undisturbed run are not there, or not as they should be."""
    return sum((rows - found.get(table, Counter())).total() for table, rows in expected.items())


def added(expected: Rows, found: Rows) -> int:
    """How many rows are there that an undisturbed run does not have."""
    return lost(found, expected)
