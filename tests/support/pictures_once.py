"""Pictures of equal rows are drawn once in a test process: most runs of the tests share their trainings, and drawing is
a third of what a run that comes from the cache takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from storage.files import write_atomic
from storage.records import CheckpointRecord


def draw_once(patch: pytest.MonkeyPatch) -> None:
    """The pages of runs, and the curves that lie with a run, take what this process has drawn of the same rows."""
    from flows import curves
    from flows.artifacts import pictures, run_page
    from flows.artifacts.stages import training

    for name in ("training_picture", "success_picture"):
        once = of_equal_rows(getattr(pictures, name))
        for page in (run_page, training):
            patch.setattr(page, name, once)
    draw, drawn = curves.draw, dict[str, bytes]()

    def draw_or_copy(trainings: Sequence[CheckpointRecord], file: Path) -> None:
        key = f"{file.suffix} {list(trainings)!r}"
        if key in drawn:
            write_atomic(file, drawn[key])  # with the faults that drawing into this file would have
        else:
            draw(trainings, file)
            drawn[key] = file.read_bytes()

    patch.setattr(curves, "draw", draw_or_copy)


def of_equal_rows(draw: Callable[[Sequence[object]], str]) -> Callable[[Sequence[object]], str]:
    """`draw`, which is called once for equal rows."""
    drawn: dict[str, str] = {}

    def once(rows: Sequence[object]) -> str:
        key = repr(list(rows))
        if key not in drawn:
            drawn[key] = draw(rows)
        return drawn[key]

    return once
