"""The condition of --where: one SQL expression, which can neither write nor leave the store."""

from __future__ import annotations

import json
from typing import Any

import duckdb

from formats.faults import FormatFault

_PASTED = "SELECT 1 FROM candidates WHERE ({}\n)"
_ARGUMENT = "SELECT 1 FROM candidates WHERE wanted({}\n)"


def check_condition(connection: duckdb.DuckDBPyConnection, condition: str) -> None:
    """Raises FormatFault unless the text is one SQL expression. It is put into a query in parentheses: one that closes
    them and goes on, with OR, UNION or LIMIT, is refused."""
    if not condition.strip():
        raise FormatFault('--where is empty: give a condition, e.g. "n_steps < 10 AND weight > 1"')
    pasted = _parsed(connection, _PASTED, condition)
    usual = _parsed(connection, _PASTED, "true")
    argument = _parsed(connection, _ARGUMENT, condition)
    if pasted is None or _rest(pasted) != _rest(usual) or not _one_argument(argument):
        raise FormatFault(
            f'--where {condition!r} is not one SQL expression: give a condition, e.g. "weight > 1"'
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
