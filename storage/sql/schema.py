"""The store's schema: numbered migrations, applied in order, and the views, which always follow the code."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from pathlib import Path

import duckdb

from storage.faults import StorageFault, UnusableDatabase
from storage.ids import content_id
from storage.records import RECORDS
from storage.sql.comments import ALIKE, SHARED, complete_comments, record_comments_sql
from storage.sql.presets import presets_sql, stages_sql
from storage.sql.run_views import run_view_sql

STORAGE_VERSION = (
    "v1.2.0"  # DuckDB 2 would write files that no 1.x tool can open; every 1.x since 1.2 opens these
)
SQL = files("storage").joinpath("sql")
GROUND = ("tables.sql", "intervals.sql", "provenance.sql")  # needed by the views run_<table> and all others
VIEWS = (  # in the order in which they need each other
    "runs.sql",
    "rewards.sql",
    "scored_steps.sql",
    "success.sql",
    "costs.sql",
    "comparisons.sql",
    "summary.sql",
    "decide.sql",
    "judgements.sql",
    "lineage.sql",
    "advantages.sql",
    "help.sql",
    "old_names.sql",
)
FULL = ("No space left", "Disk quota exceeded", "File too large")
DAMAGED = ("corrupt", "could not read enough bytes")
"""What DuckDB says of a file that was damaged, or that ends too early."""
ANEW = "`steca doctor` makes it anew from the shards"
_NAME = re.compile(r"(\d{4})_\w+\.sql")


def migrations() -> list[tuple[int, str]]:
    """(version, SQL) of every migration, in order."""
    found = []
    for file in SQL.joinpath("migrations").iterdir():
        if match := _NAME.fullmatch(file.name):
            found.append((int(match[1]), file.read_text()))
    return sorted(found)


def open_database(path: Path) -> duckdb.DuckDBPyConnection:
    """The working database, made or migrated to this code's schema.

    Raises StorageFault where it is held by another process, or newer than this code; UnusableDatabase where it is
    damaged.
    """
    try:
        connection = duckdb.connect(path, config={"storage_compatibility_version": STORAGE_VERSION})
    except duckdb.Error as error:
        if "lock on file" in str(error):
            raise StorageFault(f"{path} cannot be opened: {one_line(error)}; close what holds it") from error
        raise UnusableDatabase(f"{path} cannot be opened: {one_line(error)}; {ANEW}") from error
    try:
        migrate(connection, path)
        make_views(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def make_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Make every view and macro as this code has them, with their comments, unless they are there already."""
    sql, digest = _views_sql()
    if _views_digest(connection) == digest:
        return
    connection.execute("BEGIN")  # one write to disk, not one for each of 500 statements
    connection.execute(sql)
    complete_comments(connection)
    connection.execute(f"""
        CREATE OR REPLACE MACRO views_digest() AS '{digest}';
        COMMENT ON MACRO views_digest IS 'Digest of the SQL that made the views and macros of this store';
    """)
    connection.execute("COMMIT")


def has_current_views(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the views and macros of a store are those of this code."""
    return _views_digest(connection) == _views_sql()[1]


@cache
def _views_sql() -> tuple[str, str]:
    """The SQL of all views and macros, and the digest of everything that decides them."""
    parts = [
        record_comments_sql(),
        presets_sql(),
        stages_sql(),
        *map(_text, GROUND),
        *map(run_view_sql, RECORDS),
        *map(_text, VIEWS),
    ]
    sql = "\n".join(parts)
    return sql, content_id(sql, ALIKE, SHARED, migrations()[-1][0])


def _text(file: str) -> str:
    return SQL.joinpath(file).read_text()


def _views_digest(connection: duckdb.DuckDBPyConnection) -> str | None:
    """That of the views that are there; None where there are none, or an older version made them."""
    try:
        row = connection.execute("SELECT views_digest()").fetchone()
    except duckdb.CatalogException:
        return None
    return str(row[0]) if row else None


def migrate(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Apply the migrations that `connection` lacks, each in a transaction of its own."""
    known = migrations()
    present = schema_version(connection)
    if present > known[-1][0]:
        raise StorageFault(
            f"{path} has schema {present}, this version knows up to {known[-1][0]}: update the project, "
            "or make the store anew with `steca doctor --rebuild`"
        )
    for number, sql in known:
        if number > present:
            _apply(connection, path, number, sql)


def _apply(connection: duckdb.DuckDBPyConnection, path: Path, number: int, sql: str) -> None:
    try:
        connection.execute("BEGIN")
        connection.execute(sql)
        connection.execute("INSERT INTO schema_version VALUES (?)", [number])
        connection.execute("COMMIT")
    except duckdb.Error as error:
        raise UnusableDatabase(
            f"{path} cannot be migrated to schema {number}: {one_line(error)}; {ANEW}"
        ) from error


def schema_version(connection: duckdb.DuckDBPyConnection) -> int:
    """The newest migration a database has; 0 for an empty one."""
    there = connection.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'schema_version' AND NOT internal"
    ).fetchall()[0][0]
    if not there:
        return 0
    return int(connection.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchall()[0][0])


def failed(what: str, error: duckdb.Error) -> StorageFault:
    """DuckDB's error as ours; UnusableDatabase where it found the database damaged."""
    damaged = any(reason in str(error).lower() for reason in DAMAGED)
    if damaged or isinstance(error, duckdb.InternalError):
        return UnusableDatabase(f"{what}: {one_line(error)}; {ANEW}")
    full = any(reason in str(error) for reason in FULL)
    advice = "; free space there, then run again" if full else ""
    return StorageFault(f"{what}: {one_line(error)}{advice}")


def one_line(error: Exception) -> str:
    """DuckDB's message without the caret picture under it."""
    return " ".join(str(error).split("\nLINE ")[0].split())
