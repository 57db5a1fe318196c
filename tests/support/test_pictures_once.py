"""What is drawn once is drawn again for other rows, and is what would have been drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from flows import curves
from tests.support.pictures_once import draw_once, of_equal_rows
from tests.support.store_rows import checkpoint


def test_equal_rows_are_drawn_once_and_others_anew() -> None:
    drawn: list[Sequence[object]] = []

    def draw(rows: Sequence[object]) -> str:
        drawn.append(rows)
        return f"picture {len(drawn)}"

    once = of_equal_rows(draw)
    rows = [checkpoint("one"), checkpoint("one"), checkpoint("two")]
    assert [once([row]) for row in rows] == ["picture 1", "picture 1", "picture 2"]
    assert once(rows) == "picture 3"


def test_a_file_of_equal_rows_is_the_file_that_would_have_been_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = checkpoint("one"), checkpoint("two")
    curves.draw([one], tmp_path / "real.png")
    draw_once(monkeypatch)
    for name, row in (("first", one), ("again", one), ("other", other)):
        curves.draw([row], tmp_path / f"{name}.png")
    found = {name: (tmp_path / f"{name}.png").read_bytes() for name in ("real", "first", "again", "other")}
    assert found["real"] == found["first"] == found["again"] != found["other"]
    curves.draw([one], tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_bytes().startswith(b"<?xml")
