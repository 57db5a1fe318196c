"""Rows of a query as a table, CSV or JSON."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]], format: str) -> None:
    """Print to stdout: `table` for people, `csv` and `json` (a list of objects) for programs."""
    if format == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    elif format == "json":
        objects = [dict(zip(columns, row, strict=True)) for row in rows]
        sys.stdout.write(json.dumps(objects, indent=1, default=str, ensure_ascii=False) + "\n")
    else:
        console().print(_table(columns, rows))


def console() -> Console:
    """As wide as the terminal; without one (a pipe, a file) as wide as the rows: nothing is cut."""
    return Console(width=None if sys.stdout.isatty() else 10_000)


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    table = Table(*columns)
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("[", r"\[")  # rich would read brackets as markup
