"""`steca sql`: one query on the published store."""

from __future__ import annotations

from pathlib import Path

import duckdb
import typer

from cli.published import published_store
from cli.terminal.tables import print_rows
from configs.faults import ConfigFault
from storage.sql.guard import nests_too_deeply, statements_of
from storage.sql.store_names import renamed_in


def print_answer(root: Path, query: str, format: str) -> None:
    """Print the rows of a query. Raises ConfigFault where it is empty or gives several answers, StageFault where
    there are no runs, and StorageFault."""
    check_query(query)
    if note := renamed_in(query):
        typer.echo(f"note: {note}", err=True)
    columns, rows = published_store(root).query(query)
    print_rows(columns, rows, format)


def check_query(query: str) -> None:
    """Raise ConfigFault for an empty query, for several queries (DuckDB returns the rows of the last one only), and
    for text that is not UTF-8."""
    if nests_too_deeply(query):
        raise ConfigFault("the query has brackets in one another, too many for DuckDB: give a simpler one")
    try:
        query.encode()
        statements = statements_of(query)
        answers = sum(map(_has_rows, statements))
    except UnicodeEncodeError:
        raise ConfigFault("the query is not UTF-8 text") from None
    except duckdb.Error:
        return  # the store reports the error
    if not statements:
        raise ConfigFault('the query is empty: give one, e.g. steca sql "FROM run_summary"')
    if answers > 1:
        raise ConfigFault(
            f"{len(statements)} statements: only one result can be printed; run them one by one"
        )


def _has_rows(statement: duckdb.Statement) -> bool:
    return statement.expected_result_type == [duckdb.ExpectedResultType.QUERY_RESULT]
