"""Rows of a query as a table, CSV or JSON, and tables of a summary."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from itertools import count
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.measure import Measurement
from rich.rule import Rule
from rich.table import Table

from cli.terminal.console import PIPE_WIDTH, SafeConsole, console, say
from flows.summary.table import Table as Texts

LISTED = 8
"""In tables, at most so many values of a list."""


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]], format: str) -> None:
    """Print to stdout: `table` for people, `csv` and `json` (a list of objects) for programs."""
    if format == "csv":
        writer = csv.writer(_UnixLines())
        writer.writerow(columns)
        writer.writerows(rows)
    elif format == "json":
        names = _distinct(columns)
        objects = [dict(zip(names, row, strict=True)) for row in rows]
        sys.stdout.write(json.dumps(objects, indent=1, default=str, ensure_ascii=False) + "\n")
    else:
        print_table(console(), columns, rows)


class _UnixLines:
    """Ends lines in \\n. A csv.writer quotes values with line breaks only if its own lines end in \\r\\n."""

    def write(self, row: str) -> int:
        return sys.stdout.write(row.removesuffix("\r\n") + "\n")


def print_table(out: SafeConsole, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table, or one block per row where the terminal is too narrow for a table."""
    table = _table(columns, rows)
    wanted = Measurement.get(out, out.options.update(max_width=PIPE_WIDTH), table).maximum
    if wanted <= out.width or out.width >= PIPE_WIDTH:
        out.print(table)
        return
    if not rows:
        say(out, f"no rows; columns: {', '.join(columns)}")
    for number, row in enumerate(rows, 1):
        out.print(Rule(f"row {number}", align="left"))
        out.print(_block(columns, row))


def as_rich(texts: Texts) -> Table:
    """A table of a summary as rich draws it, without its notes."""
    table = Table(*texts.left, title=texts.title, title_justify="left")
    for heading in texts.right:
        table.add_column(heading, justify="right")
    for row in texts.rows:
        table.add_row(*row)
    return table


def as_plain(texts: Texts) -> Table:
    """The same without lines between its columns and without its title: a narrow table."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for heading in texts.left:
        table.add_column(heading, overflow="fold")
    for heading in texts.right:
        table.add_column(heading, justify="right")
    for row in texts.rows:
        table.add_row(*row)
    return table


def _distinct(columns: Sequence[str]) -> list[str]:
    """Names as the keys of an object: a second `n` becomes `n_1`, as in DuckDB's own subqueries."""
    names: list[str] = []
    for name in columns:
        tries = (f"{name}_{number}" if number else name for number in count())
        names.append(next(each for each in tries if each not in names))
    return names


def _block(columns: Sequence[str], row: Sequence[Any]) -> Table:
    """One line per column, `name: value`. Long names (of expressions) and values are wrapped, never cut."""
    block = Table.grid(padding=(0, 1))
    block.add_column(overflow="fold")
    block.add_column(overflow="fold")
    for name, value in zip(columns, row, strict=True):
        block.add_row(f"{_cell(name)}:", _cell(value))
    return block


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    table = Table(*columns)
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list) and len(value) > LISTED:
        first = ", ".join(map(_cell, value[:LISTED]))
        return f"[{first}, ... {len(value):,} in all: --format json has them]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
