"""The answers and the pictures of docs/queries.md, from a store that `make run` made.

    python -m docs.tools.queries DATA_DIR

Each SQL block that is followed by a text block is asked, and the text is replaced by the answer. The pictures are drawn
from the same rows (docs/tools/query_pictures.py).
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cli.terminal.console import SafeConsole
from cli.terminal.tables import print_table
from docs.tools.query_pictures import PICTURES, draw
from storage.store import Store

DOCS = Path(__file__).parents[1]
PAGE = DOCS / "queries.md"
WIDTH = 160
NEWEST = (
    "SELECT run_id FROM comparisons WHERE comparison = 'quickstart' AND arm = 'STeCa' ORDER BY seed LIMIT 1"
)
_ANSWERED = re.compile(
    r"(```sql\n(?P<query>[^`]*?)\n```\n\n```text\n)[^`]*?(```\n)(?P<picture>\n!\[.*?\]\((.*?)\))?"
)
Rows = Sequence[dict[str, Any]]
Answer = tuple[Sequence[str], Sequence[Sequence[Any]]]
"""Column names, and rows."""


def answered(page: str, ask: Callable[[str], Answer]) -> tuple[str, dict[str, Rows]]:
    """The page with the answers of `ask`, and by picture the rows that it shows."""
    shown: dict[str, Rows] = {}

    def answer(found: re.Match[str]) -> str:
        columns, rows = ask(found["query"])
        if found["picture"]:
            shown[Path(found[5]).stem] = [dict(zip(columns, row, strict=True)) for row in rows]
        return found[1] + as_text(columns, rows) + found[3] + (found["picture"] or "")

    return _ANSWERED.sub(answer, page), shown


def as_text(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table as `steca sql` prints it."""
    out = io.StringIO()
    print_table(SafeConsole(file=out, width=WIDTH), columns, rows)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def main(data_dir: Path) -> None:
    """Write the page and its pictures anew. Raises StorageFault."""
    store = Store(data_dir)
    with store.opened():
        ((run,),) = store.query(NEWEST)[1]
        page, shown = answered(
            PAGE.read_text(), lambda query: store.query(query.replace("'RUN'", f"'{run}'"))
        )
    PAGE.write_text(page)
    for name, rows in shown.items():
        draw(PICTURES[name], rows, DOCS / "images" / "queries" / f"{name}.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
