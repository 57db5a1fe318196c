"""What workers share is made once, and again only where it could not be made or was given up."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.shared import SharedFolder, listing


def test_what_is_shared_is_made_by_the_first_only(tmp_path_factory: pytest.TempPathFactory) -> None:
    made: list[Path] = []

    def make(folder: Path) -> str:
        made.append(folder)
        return f"made {len(made)}"

    first, second = SharedFolder(tmp_path_factory), SharedFolder(tmp_path_factory)
    assert [worker.once("thing", make) for worker in (first, second)] == [("made 1", True), ("made 1", False)]
    assert made[0].is_dir()
    first.forget("thing")
    assert second.once("thing", make) == ("made 2", True)
    second.forget("thing")


def test_what_could_not_be_made_is_tried_again(tmp_path_factory: pytest.TempPathFactory) -> None:
    def fails(folder: Path) -> str:
        raise OSError("no room")

    shared = SharedFolder(tmp_path_factory)
    with pytest.raises(OSError, match="no room"):
        shared.once("broken", fails)
    assert shared.once("broken", str)[1]
    shared.forget("broken")


def test_a_changed_file_is_noticed_and_a_lock_is_not(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text("one")
    before = listing(tmp_path)
    (tmp_path / ".lock").touch()
    assert listing(tmp_path) == before
    (tmp_path / "rows").write_text("three")
    assert listing(tmp_path) != before
