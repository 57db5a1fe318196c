"""The store's schema: numbered migrations, applied in order, and the views, which always follow the code."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import duckdb

from storage.faults import StorageFault
from storage.presets import presets_sql

STORAGE_VERSION = (
    "v1.2.0"  # DuckDB 2 would write files that no 1.x tool can open; every 1.x since 1.2 opens these
)
VIEWS = ("views.sql", "decide.sql", "lineage.sql")  # in the order in which they need each other
_NAME = re.compile(r"(\d{4})_\w+\.sql")


def migrations() -> list[tuple[int, str]]:
    """(version, SQL) of every migration, in order."""
    found = []
    for file in files("storage").joinpath("migrations").iterdir():
        if match := _NAME.fullmatch(file.name):
            found.append((int(match[1]), file.read_text()))
    return sorted(found)


def open_database(path: Path) -> duckdb.DuckDBPyConnection:
    """The working database, made or migrated to this code's schema.

    Raises StorageFault where it is damaged, held by another process, or newer than this code.
    """
    try:
        connection = duckdb.connect(path, config={"storage_compatibility_version": STORAGE_VERSION})
    except duckdb.Error as error:
        raise StorageFault(
            f"{path} cannot be opened: {one_line(error)}; close what holds it, or delete it: "
            "the next ingest makes it anew from the shards"
        ) from error
    try:
        migrate(connection, path)
        connection.execute(presets_sql())
        for file in VIEWS:
            connection.execute(files("storage").joinpath(file).read_text())
    except BaseException:
        connection.close()
        raise
    return connection


def migrate(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Apply the migrations that `connection` lacks, each in a transaction of its own."""
    known = migrations()
    present = schema_version(connection)
    if present > known[-1][0]:
        raise StorageFault(
            f"{path} has schema {present}, this version knows up to {known[-1][0]}: update the project, "
            "or delete the file to make it anew from the shards"
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
        raise StorageFault(
            f"{path} cannot be migrated to schema {number}: {one_line(error)}; "
            "delete it: the next ingest makes it anew from the shards"
        ) from error


def schema_version(connection: duckdb.DuckDBPyConnection) -> int:
    """The newest migration a database has; 0 for an empty one."""
    there = connection.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'schema_version' AND NOT internal"
    ).fetchall()[0][0]
    if not there:
        return 0
    return int(connection.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchall()[0][0])


def one_line(error: Exception) -> str:
    """DuckDB's message without the caret picture under it."""
    return " ".join(str(error).split("\nLINE ")[0].split())
