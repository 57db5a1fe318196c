"""SQL that would leave the store: what it tries, and how to see whether it came through.

Used by `python -m benchmarks.security` and by tests/storage/test_guard.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb

SECRET = "a-line-that-no-query-may-see"


@dataclass(frozen=True)
class Attack:
    """`sql` names the places of an `Outside` in braces. `effect`: unguarded DuckDB lets it through without a network,
    which shows that the attack is one."""

    name: str
    sql: str
    effect: bool = True


@dataclass(frozen=True)
class Outside:
    """A folder beside the data folder, with a secret in several formats, and a place where nothing is yet."""

    folder: Path

    @classmethod
    def made(cls, folder: Path) -> Outside:
        folder.mkdir(parents=True)
        with duckdb.connect(str(folder / "other.duckdb")) as other:
            other.execute(f"CREATE TABLE found AS SELECT '{SECRET}' AS line")
            for name in ("lines.csv", "lines.json", "lines.parquet"):
                other.execute(f"COPY found TO '{folder / name}'")
            other.execute(f"EXPORT DATABASE '{folder / 'exported'}'")
        os.symlink(folder / "lines.csv", folder / "link.csv")
        (folder / "written").mkdir()
        return cls(folder)

    def sql(self, attack: Attack) -> str:
        """The attack's SQL with this folder's places."""
        return attack.sql.format(at=self.folder, out=self.folder / "written" / "out")

    def came_through(self, printed: str) -> bool:
        """Whether an attack read the secret, or wrote anything. What was written is removed."""
        written = list((self.folder / "written").rglob("*"))
        for path in sorted(written, reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        return SECRET in printed or bool(written)


def _reads() -> Iterable[Attack]:
    for function, file in (
        ("read_csv", "lines.csv"),
        ("read_csv_auto", "lines.csv"),
        ("read_text", "lines.csv"),
        ("read_blob", "lines.csv"),
        ("read_json", "lines.json"),
        ("read_ndjson_objects", "lines.json"),
        ("read_parquet", "lines.parquet"),
        ("read_duckdb", "other.duckdb"),
    ):
        yield Attack(function, f"FROM {function}('{{at}}/{file}')")
    yield Attack("a file as a table", "FROM '{at}/lines.csv'")
    yield Attack("a link as a table", "FROM '{at}/link.csv'")
    yield Attack("a way up", "FROM read_text('{at}/written/../lines.csv')")
    yield Attack("names of files", "SELECT replace(file, 'lines', '" + SECRET + "') FROM glob('{at}/*')")
    yield Attack("query of a text", "FROM query('FROM read_text(''{at}/lines.csv'')')")
    yield Attack("query_table", "FROM query_table(['{at}/lines.csv'])")
    yield Attack(
        "serialized SQL",
        "FROM json_execute_serialized_sql(json_serialize_sql('FROM read_text(''{at}/lines.csv'')'))",
    )
    yield Attack("a subquery", "SELECT (SELECT content FROM read_text('{at}/lines.csv')) AS line")
    yield Attack("EXPLAIN ANALYZE", "EXPLAIN ANALYZE COPY (SELECT 1) TO '{out}.csv'")
    yield Attack("a temporary view", "CREATE TEMP VIEW v AS FROM read_text('{at}/lines.csv'); FROM v")
    yield Attack(
        "a temporary macro", "CREATE TEMP MACRO m() AS TABLE FROM read_text('{at}/lines.csv'); FROM m()"
    )
    yield Attack("a temporary table", "CREATE TEMP TABLE t AS FROM read_text('{at}/lines.csv'); FROM t")
    yield Attack("a prepared statement", "PREPARE p AS FROM read_text('{at}/lines.csv'); EXECUTE p")
    yield Attack("a variable", "SET VARIABLE f = '{at}/lines.csv'; FROM read_text(getvariable('f'))")
    yield Attack(
        "the process's memory", "SELECT length(content) AS n FROM read_blob('/proc/self/environ')", False
    )


def _writes() -> Iterable[Attack]:
    for format in ("csv", "json", "parquet"):
        yield Attack(f"COPY TO {format}", f"COPY (SELECT 1 AS one) TO '{{out}}' (FORMAT {format})")
    yield Attack("COPY TO folders", "COPY (SELECT 1 AS a, 2 AS b) TO '{out}' (FORMAT csv, PARTITION_BY (a))")
    yield Attack("COPY in a WITH", "WITH q AS (COPY (SELECT 1) TO '{out}.csv') FROM q")
    yield Attack("EXPORT DATABASE", "EXPORT DATABASE '{out}'")
    yield Attack("ATTACH", "ATTACH '{at}/other.duckdb' AS other; FROM other.found")
    yield Attack("ATTACH a new file", "ATTACH '{out}.duckdb' AS new (READ_WRITE); CREATE TABLE new.t (i INT)")
    yield Attack("COPY FROM", "CREATE TEMP TABLE t (line VARCHAR); COPY t FROM '{at}/lines.csv'; FROM t")
    yield Attack("IMPORT DATABASE", "IMPORT DATABASE '{at}/exported'; FROM found", effect=False)


def _settings() -> Iterable[Attack]:
    then = "FROM read_text('{at}/lines.csv')"
    for setting in (
        "enable_external_access = true",
        "GLOBAL enable_external_access = true",
        "lock_configuration = false",
        "allowed_directories = ['/']",
        "allowed_paths = ['{at}/lines.csv']",
        "file_search_path = '{at}'",
        "allow_unsigned_extensions = true",
        "home_directory = '{at}'",
    ):
        yield Attack(f"SET {setting.split(' =')[0]}", f"SET {setting}; {then}", effect=False)
    yield Attack("RESET", f"RESET enable_external_access; {then}", effect=False)
    yield Attack("PRAGMA of a setting", f"PRAGMA enable_external_access = true; {then}", effect=False)
    yield Attack("a log file", "SET log_query_path = '{out}'; SELECT 1")
    yield Attack(
        "another temporary folder", "SET temp_directory = '{out}'; COPY (SELECT 1) TO '{out}/x.csv'", False
    )
    yield Attack(
        "a profile", "SET enable_profiling = 'json'; SET profiling_output = '{out}'; SELECT 1", effect=False
    )
    yield Attack("logs in files", "CALL enable_logging(storage = 'file', storage_path = '{out}'); SELECT 1")


def _extensions() -> Iterable[Attack]:
    yield Attack("INSTALL httpfs", "INSTALL httpfs", effect=False)
    yield Attack("LOAD httpfs", "LOAD httpfs", effect=False)
    yield Attack("LOAD a file", "LOAD '{at}/evil.duckdb_extension'", effect=False)
    yield Attack("INSTALL from an address", "INSTALL evil FROM 'http://127.0.0.1:9/'", effect=False)
    yield Attack("UPDATE EXTENSIONS", "UPDATE EXTENSIONS", effect=False)
    yield Attack("https", "FROM read_csv('https://127.0.0.1:9/x.csv')", effect=False)
    yield Attack("s3", "COPY (SELECT 1) TO 's3://bucket/x.csv'", effect=False)
    yield Attack("ATTACH https", "ATTACH 'https://127.0.0.1:9/x.duckdb' AS x", effect=False)
    yield Attack("excel", "FROM read_xlsx('{at}/x.xlsx')", effect=False)
    yield Attack("sqlite", "FROM sqlite_scan('{at}/x.db', 't')", effect=False)
    yield Attack("a secret", "CREATE SECRET s (TYPE S3)", effect=False)
    yield Attack("a stored secret", "CREATE PERSISTENT SECRET s (TYPE S3)", effect=False)
    yield Attack("stored secrets", "FROM duckdb_secrets()", effect=False)


ATTACKS = {
    "read": tuple(_reads()),
    "write": tuple(_writes()),
    "settings": tuple(_settings()),
    "extensions": tuple(_extensions()),
}
"""By what they try."""
