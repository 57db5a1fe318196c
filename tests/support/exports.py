"""Exports of the made-up run, and how tests read their rows back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from formats.rows.filters import Filters
from formats.targets.context import Context
from formats.writing.export import Report, Request, export
from formats.writing.parts import PART
from tests.support.exported_run import RUN, MadeUp

Said = tuple[str, str]
"""Role as the format names it, and text."""


def exported(
    made: MadeUp,
    out: Path,
    format: str,
    context: Context = "refuse",
    part_bytes: int = PART,
    **filters: Any,
) -> Report:
    return export(made.store, Request(format, RUN, out, Filters(**filters), context), part_bytes=part_bytes)


def content(out: Path) -> dict[str, bytes]:
    """Every file of an export by its path."""
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def written(out: Path) -> list[dict[str, Any]]:
    """The rows of an export, as its files have them."""
    rows: list[dict[str, Any]] = []
    for file in sorted((out / "data").iterdir()):
        if file.suffix == ".parquet":
            rows += pq.read_table(file).to_pylist()
        elif file.is_dir():
            rows += [{"lines": _lines(session)} for session in sorted(file.iterdir())]
        elif file.suffix == ".json":
            rows += json.loads(file.read_bytes())
        else:
            rows += _lines(file)
    return rows


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_bytes().split(b"\n")[:-1]]


def lineage(out: Path) -> list[dict[str, Any]]:
    """For each row of `written`, where it comes from."""
    return [row for file in sorted((out / "lineage").iterdir()) for row in pq.read_table(file).to_pylist()]


def said(part: Any) -> Iterator[Said]:
    """Every message in a row, in its order, whatever the format calls role and text."""
    if isinstance(part, list):
        for one in part:
            yield from said(one)
    elif isinstance(part, dict):
        role = part.get("role", part.get("from"))
        if role is None:
            for one in part.values():
                yield from said(one)
        else:
            yield role, _text(part.get("content", part.get("value")))


def _text(content: Any) -> str:
    """A content may be a list of parts."""
    return content if isinstance(content, str) else "".join(one["value"] for one in content)
