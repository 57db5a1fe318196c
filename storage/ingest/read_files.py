"""Which files the tables were filled from. An ingest lists all of them, but reads only those that changed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import duckdb


def signature(status: os.stat_result) -> str:
    """What differs where a file was written, replaced or renamed. Nobody can set the time of the last change."""
    return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"


def files_in(root: Path, folder: Path, suffix: str) -> dict[str, str]:
    """The files of a folder of the data folder `root` that end so, by their paths relative to `root`, and the signature
    of each. Nothing where the folder is missing."""
    found, inside = {}, folder.relative_to(root).as_posix()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(suffix):
                    found[f"{inside}/{entry.name}"] = signature(entry.stat())
    except (FileNotFoundError, NotADirectoryError):
        pass
    return found


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, sorted; none where it is missing."""
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def known_files(connection: duckdb.DuckDBPyConnection, folder: str) -> dict[str, str]:
    """The files below a folder that were read, and the signature that each had."""
    rows = connection.execute("FROM read_files WHERE starts_with(file, ?)", [f"{folder}/"]).fetchall()
    return dict(rows)


def remember(
    connection: duckdb.DuckDBPyConnection, read: Mapping[str, str], forgotten: Iterable[str] = ()
) -> None:
    """Record the signatures of files that were read, and forget others."""
    gone = [*read, *forgotten]
    if gone:
        connection.execute("DELETE FROM read_files WHERE file IN (SELECT unnest(?))", [gone])
    insert_rows(connection, "read_files", list(read.items()))


def insert_rows(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Sequence[object]]) -> None:
    """Insert rows of Python values, column by column: 300 times faster than executemany."""
    if rows:
        columns = ", ".join(f"unnest(${index + 1})" for index in range(len(rows[0])))
        connection.execute(
            f"INSERT INTO {table} SELECT {columns}", [list(column) for column in zip(*rows, strict=True)]
        )
