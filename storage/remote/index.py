"""What of a mirror is in the store already: by file, the version there and the signature of the file here.

A small SQLite file in the mirror, `remote/index.sqlite`. Without it everything is compared anew, and nothing is lost.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple


class Known(NamedTuple):
    """A file that the store has. `sign` is "" for files that never change."""

    version: str
    sign: str


class Index:
    """Used under the lock of the mirror."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def load(self) -> dict[str, Known]:
        """Every known file."""
        with closing(self._opened()) as database:
            rows = database.execute("SELECT name, version, sign FROM files")
            return {name: Known(version, sign) for name, version, sign in rows}

    def add(self, files: dict[str, Known]) -> None:
        with closing(self._opened()) as database, database:
            rows = [(name, *known) for name, known in files.items()]
            database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", rows)

    def forget(self, names: Iterable[str]) -> None:
        with closing(self._opened()) as database, database:
            database.executemany("DELETE FROM files WHERE name = ?", [(name,) for name in names])

    def identity(self) -> str:
        """Of this mirror, among all that ever were made of the URL."""
        with closing(self._opened()) as database, database:
            database.execute("INSERT OR IGNORE INTO mirror VALUES (1, ?)", [uuid.uuid4().hex])
            return str(database.execute("SELECT identity FROM mirror").fetchone()[0])

    def _opened(self) -> sqlite3.Connection:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self._file, timeout=60)
        database.execute(
            "CREATE TABLE IF NOT EXISTS files (name TEXT PRIMARY KEY, version TEXT, sign TEXT) WITHOUT ROWID"
        )
        database.execute("CREATE TABLE IF NOT EXISTS mirror (one INTEGER PRIMARY KEY, identity TEXT)")
        return database
