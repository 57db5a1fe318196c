"""A table of texts, for whoever shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Texts in rows, nothing escaped. `left` are the headings of its first columns, `right` those of the columns after
    them, which are aligned to the right. `notes` are lines below it."""

    title: str
    left: tuple[str, ...]
    right: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def short(count: int) -> str:
    """A count, short enough for a column."""
    for unit, size in ((" M", 10**6), (" k", 10**3)):
        if count >= 10 * size:
            return f"{count / size:,.0f}{unit}"
    return f"{count:,}"


def words(name: str) -> str:
    """A name of the store as words: after_deviation, after deviation."""
    return name.replace("_", " ")
