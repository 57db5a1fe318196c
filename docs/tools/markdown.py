"""Markdown that GitHub and the site read alike."""

from __future__ import annotations

from collections.abc import Iterable


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table. Cells are Markdown already."""
    headings = list(headings)
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def text(plain: str) -> str:
    """Plain text on one line, with what Markdown would read as markup written out."""
    line = " ".join(plain.split())
    for mark in "\\|*<[":
        line = line.replace(mark, f"\\{mark}")
    return line


def code(plain: object) -> str:
    """A word as code. A bar would end the cell of a table."""
    return f"`{plain}`".replace("|", "\\|")
