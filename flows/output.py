"""Rows of a query as a table, CSV or JSON, and phrases that several commands print."""

from __future__ import annotations

import csv
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.rule import Rule
from rich.table import Table

PIPE_WIDTH = 10_000
"""Columns of a console without a terminal."""


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
        print_table(console(), columns, rows)


def print_table(out: Console, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table, or one block a row where a terminal is too narrow: a table would shrink its columns to nothing."""
    table = _table(columns, rows)
    wanted = Measurement.get(out, out.options.update(max_width=PIPE_WIDTH), table).maximum
    if wanted <= out.width or out.width >= PIPE_WIDTH:
        out.print(table)
        return
    if not rows:
        out.print(f"no rows; columns: {', '.join(columns)}", markup=False, highlight=False)
    for number, row in enumerate(rows, 1):
        out.print(Rule(f"row {number}", align="left"))
        out.print(_block(columns, row))


def console() -> Console:
    """As wide as the terminal; without one (a pipe, a file) as wide as the rows: nothing is cut."""
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)


def in_folder(root: Path, option: str = "--data-dir ") -> str:
    """What a hint's `steca` command needs to find the data folder: nothing where it is the default one."""
    return "" if root.resolve() == Path("data").resolve() else f" {option}{shlex.quote(str(root))}"


def to_start(root: Path) -> str:
    """The command that starts a run in a data folder: there the folder is a setting."""
    return f"`steca run{in_folder(root, '--set data_dir=')}`"


def counted(n: int, what: str) -> str:
    """1 rollout, 2 rollouts."""
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def between(low: float, high: float) -> str:
    """An interval of a gap. Its ends lie on a grid of .0025: with two decimals one just below 0 would read -0.00."""
    return f"between {low:+.3f} and {high:+.3f}"


def _block(columns: Sequence[str], row: Sequence[Any]) -> Table:
    """One line a column, `name: value`; long values are broken, never cut."""
    block = Table.grid(padding=(0, 1))
    block.add_column(no_wrap=True)
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
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("[", r"\[")  # rich would read brackets as markup
