"""The condition of --where: one SQL expression, which can neither write nor leave the store."""

from __future__ import annotations

import json
from typing import Any

import duckdb

from formats.faults import FormatFault

_QUERY = "SELECT 1 FROM candidates WHERE ({}\n)"


def check_condition(connection: duckdb.DuckDBPyConnection, condition: str) -> None:
    """Raises FormatFault unless the text is one SQL expression. It is put into a query in parentheses: one that closes
    them and goes on, with a UNION or a LIMIT, is refused."""
    if not condition.strip():
        raise FormatFault("--where is empty: give a condition, e.g. \"task_type = 'heat' AND weight > 1\"")
    wanted, found = _parsed(connection, "true"), _parsed(connection, condition)
    if found is None or _without_condition(found) != _without_condition(wanted):
        raise FormatFault(
            f'--where {condition!r} is not one SQL expression: give a condition, e.g. "weight > 1"'
        )


def _parsed(connection: duckdb.DuckDBPyConnection, condition: str) -> list[Any] | None:
    """The statements of the query as DuckDB parses them; None where it cannot."""
    try:
        query = _QUERY.format(condition)
        query.encode()
        row = connection.cursor().execute("SELECT json_serialize_sql(?)", [query]).fetchone()
    except (duckdb.Error, UnicodeEncodeError):
        return None
    parsed: dict[str, Any] = json.loads(row[0]) if row else {"error": True}
    statements: list[Any] | None = None if parsed["error"] else parsed["statements"]
    return statements


def _without_condition(statements: Any) -> Any:
    if isinstance(statements, list):
        return [_without_condition(one) for one in statements]
    if isinstance(statements, dict):
        return {
            key: _without_condition(value)
            for key, value in statements.items()
            if key not in ("where_clause", "query_location", "query_location_length")
        }
    return statements
