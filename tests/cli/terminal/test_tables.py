"""Rows on a terminal: a table where it fits, a block a row where it does not, and never a value cut."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from cli.terminal.console import PIPE_WIDTH, make_console
from cli.terminal.tables import print_rows, print_table

COLUMNS = [f"column_{n}" for n in range(12)]
ROWS: list[list[Any]] = [[f"value-{row}-{n}-with[brackets]" for n in range(12)] for row in range(2)]


def printed(width: int, columns: list[str], rows: list[list[Any]]) -> str:
    out = io.StringIO()
    print_table(make_console(out, width, force_terminal=True, color_system=None), columns, rows)
    return out.getvalue()


def test_a_wide_row_is_a_block_on_a_narrow_terminal() -> None:
    said = printed(80, COLUMNS, ROWS)
    lines = said.splitlines()
    assert "…" not in said
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines if "row " in line] == ["row", "row"]
    values = [line for line in lines if "value-" in line]
    assert [line.split() for line in values] == [
        [f"{name}:", value] for row in ROWS for name, value in zip(COLUMNS, row, strict=True)
    ]
    assert len({line.index("value-") for line in values}) == 1


def test_a_long_value_is_broken_and_not_cut() -> None:
    text = "x" * 200
    assert printed(80, ["name", "nothing"], [[text, None]]).count("x") == 200


def test_what_fits_or_is_piped_stays_a_table() -> None:
    assert printed(80, COLUMNS[:2], [row[:2] for row in ROWS]).startswith("┏")
    piped = printed(PIPE_WIDTH, COLUMNS, ROWS)
    assert piped.startswith("┏")
    assert all(value in piped for row in ROWS for value in row)
    assert len(piped.splitlines()) == 4 + len(ROWS)


def test_no_rows_still_name_the_columns() -> None:
    said = printed(80, COLUMNS, [])
    assert said.startswith("no rows")
    assert all(name in said for name in COLUMNS)


def test_a_long_list_is_counted_in_a_table_and_whole_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    losses = [float(number) for number in range(1000)]
    print_rows(["losses", "few"], [(losses, [1.0, 2.0])], "table")
    shown = capsys.readouterr().out
    assert "[0, 1, 2, 3, 4, 5, 6, 7, ... 1,000 in all: --format json has them]" in shown
    assert "[1.0, 2.0]" in shown
    print_rows(["losses"], [(losses,)], "json")
    assert json.loads(capsys.readouterr().out) == [{"losses": losses}]
