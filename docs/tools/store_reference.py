"""Every table, view and macro of the store with its columns, from the comments in the store."""

from __future__ import annotations

import tempfile
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from docs.tools.markdown import code, table, text
from storage.records import RECORDS
from storage.sql.schema import open_database

HEAD = """# Tables and views

Everything that can be asked, as `FROM help` in the store says it. [store.md](../store.md) is the guide, and
[queries.md](../queries.md) has questions with their answers.
"""
TITLES = {"view": "Views", "table": "Tables", "table macro": "Macros to select from", "macro": "Macros"}
RUN_VIEWS = """### Rows by run

Each of these has the columns of its table, with `run_id` and `round` in front.

"""
Row = tuple[str, str, str | None, str | None, str]


def helped() -> list[Row]:
    """The rows of the view `help` of a new store: name, kind, column_name, type, about. Old names are left out."""
    with tempfile.TemporaryDirectory() as folder, open_database(Path(folder) / "new.duckdb") as store:
        rows: list[Row] = store.sql("FROM help").fetchall()
    return [row for row in rows if not row[4].startswith("Old name") and row[0] != "views_digest()"]


def store_page() -> str:
    """The page: views with their columns, then tables, then macros."""
    parts = [HEAD]
    for kind, rows in groupby(helped(), key=itemgetter(1)):
        things = [list(of_one) for _, of_one in groupby(rows, key=itemgetter(0))]
        whole = [one for one in things if not kind.endswith("macro") and not is_run_view(one[0][0])]
        parts += [f"## {TITLES[kind]}\n", *map(_thing, whole)]
        if short := [one[0] for one in things if one not in whole]:
            about = RUN_VIEWS if kind == "view" else ""
            parts.append(
                about + table((kind, "what it is"), [(code(one[0]), text(one[4])) for one in short]) + "\n"
            )
    return "\n".join(parts)


def is_run_view(name: str) -> bool:
    """Whether a view is `run_TABLE`: it has the columns of the table."""
    return name.removeprefix("run_") in {record.table for record in RECORDS} and name.startswith("run_")


def _thing(rows: list[Row]) -> str:
    """One view or table: what it is, and its columns."""
    (name, _, _, _, about), *columns = rows
    cells = [(code(column), code(str(type_)), text(said)) for _, _, column, type_, said in columns]
    return f"### `{name}`\n\n{text(about)}.\n\n{table(('column', 'type', 'what it is'), cells)}\n"
