"""The condition of --where: one SQL expression, which can neither write nor leave the store, and draws nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import duckdb

from formats.faults import FormatFault
from storage.sql.guard import nests_too_deeply

_PASTED = "SELECT 1 FROM candidates WHERE ({}\n)"
_ARGUMENT = "SELECT 1 FROM candidates WHERE wanted({}\n)"


VOLATILE = "SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability = 'VOLATILE'"


def check_condition(connection: duckdb.DuckDBPyConnection, condition: str, key: str) -> None:
    """Raises FormatFault unless the text is one SQL expression that is the same in every query. It is put into a query
    in parentheses: one that closes them and goes on, with OR, UNION or LIMIT, is refused. `key`: the rows' id, of which
    a share can be taken."""
    if not condition.strip():
        raise FormatFault('--where is empty: give a condition, e.g. "n_steps < 10 AND weight > 1"')
    if nests_too_deeply(condition):
        raise FormatFault(
            "--where has brackets in one another, too many for DuckDB: give a simpler condition"
        )
    pasted = _parsed(connection, _PASTED, condition)
    usual = _parsed(connection, _PASTED, "true")
    argument = _parsed(connection, _ARGUMENT, condition)
    if pasted is None or _rest(pasted) != _rest(usual) or not _one_argument(argument):
        raise FormatFault(
            f'--where {condition!r} is not one SQL expression: give a condition, e.g. "weight > 1"'
        )
    if drawn := _drawn(connection, pasted):
        raise FormatFault(
            f"--where {condition!r} draws anew in every query ({drawn}), and rows are read with several: for a share "
            f'of the rows give e.g. "hash({key}) % 10 < 3"'
        )


def _parsed(connection: duckdb.DuckDBPyConnection, query: str, condition: str) -> list[Any] | None:
    """The statements of the query as DuckDB parses them; None where it cannot."""
    try:
        text = query.format(condition)
        text.encode()
        row = connection.cursor().execute("SELECT json_serialize_sql(?)", [text]).fetchone()
    except (duckdb.Error, UnicodeEncodeError):
        return None
    parsed: dict[str, Any] = json.loads(row[0]) if row else {"error": True}
    statements: list[Any] | None = None if parsed["error"] else parsed["statements"]
    return statements


def _one_argument(statements: list[Any] | None) -> bool:
    """Whether the condition, as the argument of a function, is one argument and all that the query asks."""
    if not statements or len(statements) > 1:
        return False
    clause = statements[0]["node"].get("where_clause") or {}
    return clause.get("function_name") == "wanted" and len(clause["arguments"]) == 1


def _drawn(connection: duckdb.DuckDBPyConnection, statements: Any) -> str | None:
    """The first thing in a query that differs from one query to the next: a function that DuckDB calls volatile, or a
    sample; None if there is none."""
    volatile = {name for (name,) in connection.cursor().execute(VOLATILE).fetchall()}
    for node in _nodes(statements):
        if (name := str(node.get("function_name")).lower()) in volatile:
            return name
        if node.get("sample"):
            return "a sample"
    return None


def _nodes(statements: Any) -> Iterator[dict[str, Any]]:
    """Every object in a parsed query."""
    if isinstance(statements, dict):
        yield statements
        statements = list(statements.values())
    if isinstance(statements, list):
        for value in statements:
            yield from _nodes(value)


def _rest(statements: Any) -> Any:
    """All of a query but its condition."""
    if isinstance(statements, list):
        return [_rest(one) for one in statements]
    if isinstance(statements, dict):
        return {
            key: _rest(value)
            for key, value in statements.items()
            if key not in ("where_clause", "query_location", "query_location_length")
        }
    return statements
