"""DuckDB's errors of a user's query, as one line that says what to do."""

from __future__ import annotations

import difflib
import re

import duckdb

from storage.sql.schema import one_line

MOVED = {"config": "configurations are in run_configs, and each setting in run_settings"}
"""Columns of version 0.3 that no longer answer: where to find what they held."""
LISTED = "`FROM help` lists tables, views and columns"
CLOSE = 0.6
"""How similar (difflib) a name that DuckDB suggests must be to the unknown one."""
_SUGGESTED = re.compile(r"(?: Did you mean | Candidate bindings:[: ]*)(?P<names>.*)$")
_SIGNATURES = re.compile(r"(?: You might need to add explicit type casts\.)? Candidate functions: .*$")
_UNKNOWN = (
    re.compile(r"^Catalog Error: (?:Table|View) with name (?P<name>\S+) does not exist!"),
    re.compile(r'^Binder Error: Referenced (?:column|table) "(?P<name>[^"]*)" not found'),
    re.compile(r'^Binder Error: Table "[^"]*" does not have a column named "(?P<name>[^"]*)"'),
)
STAYING = (
    "a query reads the published store and nothing else. To write files, redirect what `steca sql --format csv` "
    "prints, or use `steca export`"
)
_LEAVING = (
    (re.compile(r'Cannot access (?:file|directory) "([^"]*)"'), "a query cannot reach {!r}"),
    (
        re.compile(r'^Cannot change configuration option "([^"]*)"'),
        "a query cannot change DuckDB's setting {}",
    ),
    (re.compile(r"Loading external extensions is disabled"), "a query cannot load extensions of DuckDB"),
    (re.compile(r"^(?:Error: )?File (\S+) requires the extension"), "a query cannot reach {!r}"),
    (re.compile(r"but it exists in the (\S+) extension"), "a query cannot use DuckDB's extension {}"),
)
"""What DuckDB says where storage.sql.guard refuses, and what we say."""


def query_error(error: duckdb.Error) -> str:
    """The error in one line: without signatures of functions, and with advice for an unknown name, for a boolean where
    a number is wanted, and for what would leave the store."""
    said = one_line(error).removeprefix("Invalid Input Error: ")  # error() in our macros
    for refused, words in _LEAVING:
        if match := refused.search(said):
            return f"{words.format(*match.groups())}: {STAYING}"
    for unknown in _UNKNOWN:
        if match := unknown.match(said):
            return _unknown_name(said, match["name"])
    if not _SIGNATURES.search(said):
        return said
    short = _SIGNATURES.sub("", said).rstrip(".")
    return f"{short}; {_cast(short)}"


def _unknown_name(said: str, name: str) -> str:
    """Without what DuckDB suggests where that has little to do with the name."""
    suggested = _SUGGESTED.search(said)
    words = _SUGGESTED.sub("", said).rstrip("!. ")
    near: list[str] = []
    if suggested:
        names = re.findall(r'"([^"]+)"', suggested["names"])
        near = [found for found in names if _similar(name, found.rsplit(".", 1)[-1])]
    if name in MOVED:
        return f"{words}: {MOVED[name]}"
    advice = f"; did you mean {' or '.join(near)}?" if near else "."
    return f"{words}{advice} {LISTED}"


def _similar(one: str, other: str) -> bool:
    return difflib.SequenceMatcher(None, one.lower(), other.lower()).ratio() >= CLOSE


def _cast(said: str) -> str:
    return "cast it: success::INT" if "BOOLEAN" in said else "cast the argument, e.g. x::DOUBLE"
