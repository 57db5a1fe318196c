"""Reading the published store from several threads, always the newest one."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb

from storage.faults import StorageFault
from storage.store import Store

Row = dict[str, Any]
"""A row as JSON takes it, by column."""


class Published:
    """The published file of a data folder. It stays open, and is opened again as soon as another one was published and
    no query is running: DuckDB gives every connection of a process to one path the same, old file."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)
        self._lock = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._version: tuple[int, int] | None = None
        self._running = 0

    @property
    def root(self) -> Path:
        """The data folder."""
        return self.store.root

    def rows(self, sql: str, **params: object) -> list[Row]:
        """The rows of a query. Raises StorageFault where nothing is published, or with DuckDB's message."""
        with self.cursor() as cursor:
            found = cursor.execute(sql, params)
            columns = [column[0] for column in found.description or ()]
            return [dict(zip(columns, map(_json, row), strict=True)) for row in found.fetchall()]

    def row(self, sql: str, **params: object) -> Row | None:
        """The first row of a query, or None. Raises as `rows` does."""
        found = self.rows(sql, **params)
        return found[0] if found else None

    def version(self) -> str:
        """Changes as soon as queries read another published file. Raises StorageFault where nothing is published."""
        with self._lock:
            self._newest()
            assert self._version is not None
            inode, modified = self._version
        return f"{inode}-{modified}"

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor of its own on what is published now. While the block runs, no newer file is opened: what opens the
        file by itself in it, as `Store.query` does, reads the same one. Raises StorageFault where nothing is published,
        and for every error of DuckDB in the block."""
        with self._lock:
            cursor = self._newest().cursor()
            self._running += 1
        try:
            with cursor:
                yield cursor
        except duckdb.Error as error:
            raise self.store.fault(error) from error
        finally:
            with self._lock:
                self._running -= 1

    def _newest(self) -> duckdb.DuckDBPyConnection:
        version = self._stat()
        if self._connection is not None and (version == self._version or self._running):
            return self._connection
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        try:
            self._connection = self.store.connect()
        except duckdb.Error as error:
            raise StorageFault(f"{self.store.published} cannot be opened: {error}") from error
        self._version = version
        return self._connection

    def _stat(self) -> tuple[int, int]:
        try:
            stat = self.store.published.stat()
        except OSError:
            raise self.store.nothing_published() from None
        return stat.st_ino, stat.st_mtime_ns


def _json(value: Any) -> Any:
    """A value of DuckDB as JSON has it. JSON knows no NaN and no infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, list):
        return [_json(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _json(each) for key, each in value.items()}
    return value
