"""How DuckDB is opened for queries, so that none of them can leave the store.

Whoever may query the store could otherwise read and write every file of the user: DuckDB's SQL has functions and
statements for files, other databases, addresses and extensions. Here it reads the published file and nothing else, and
no statement can change that. What is too large for its memory goes to a folder of its own.
"""

from __future__ import annotations

import secrets
import threading
from pathlib import Path
from typing import Any

import duckdb

from configs.nesting import nests_deeper
from storage.files import WRITING

OPENING: dict[str, Any] = {
    "allow_community_extensions": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,  # a misspelt table could name one of our own variables
}
LOCKING = "SET enable_external_access = false; SET lock_configuration = true"
"""After the file is open: among the settings to open it with, DuckDB applies them in an order of its own, and this one
forbids to set the folder for temporary files."""
_SCRATCH = f"{WRITING}queries-{secrets.token_hex(8)}"
"""A query may write in DuckDB's folder for temporary files once it is there. So nobody can know its name before, DuckDB
removes it, and `storage.files.sweep` removes what a killed process leaves. DuckDB gives all connections of a process to
one file the same instance if their settings are equal, hence one name for all."""


_opening = threading.Lock()


def open_guarded(path: Path, settings: dict[str, Any]) -> duckdb.DuckDBPyConnection:
    """A connection that reads a file, with further settings of DuckDB. Raises duckdb.Error."""
    scratch = {"temp_directory": str(path.absolute().with_name(_SCRATCH))}
    with _opening:
        connection = duckdb.connect(path, read_only=True, config={**scratch, **settings, **OPENING})
        return _locked(connection)


DEEPEST = 200
"""Brackets in one another. DuckDB's parser takes minutes for a thousand that are open, and cannot be interrupted."""


def nests_too_deeply(sql: str) -> bool:
    """Whether DuckDB's parser should not be given a text."""
    return nests_deeper(sql, DEEPEST)


def statements_of(sql: str) -> list[duckdb.Statement]:
    """The statements of a text, none of which is run. Raises duckdb.Error. DuckDB takes IMPORT apart while it parses,
    so that this is guarded, too."""
    with _locked(duckdb.connect(config=OPENING)) as connection:
        return connection.extract_statements(sql)


def _locked(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """The connection, whose database is shut off from everything else, if another one has not done so already."""
    try:
        if connection.execute("SELECT current_setting('lock_configuration')").fetchone() != (True,):
            connection.execute(LOCKING)
    except BaseException:
        connection.close()
        raise
    return connection
