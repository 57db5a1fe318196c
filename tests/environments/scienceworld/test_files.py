"""What is kept on disk: where, whole or not at all, and made again if it is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from environments.cached_files import write_json
from environments.scienceworld.environment import Variation
from environments.scienceworld.gold import GoldPath, GoldPaths
from environments.scienceworld.package import DATA, JAR_DIGEST, data_folder

BOIL = Variation("boil", 0)


def test_the_folder_is_named_after_the_simulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = f"{JAR_DIGEST}-easy"
    assert data_folder(str(tmp_path)) == tmp_path / "scienceworld" / name
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_folder(None) == tmp_path / "cache" / "steca" / "scienceworld" / name


class Solver:
    """An environment that solves tasks by a script, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def gold_path(self, variation: Variation) -> list[str]:
        self.asked += 1
        raise ConnectionError("the JVM has ended")


def test_a_stored_solution_is_not_made_again(tmp_path: Path) -> None:
    solver = Solver()
    path = GoldPath("a room", (("look", "a door"),), 1.0)
    write_json(tmp_path / "boil-0.json", path, DATA)
    assert GoldPaths(tmp_path, solver).path(BOIL) == path  # type: ignore[arg-type]
    assert path.actions == ["look"]
    assert solver.asked == 0


@pytest.mark.parametrize("content", ["[1, 2]", '["a room", [["look"]], 1.0]', "null", '{"half'])
def test_a_solution_that_cannot_be_read_or_made_is_not_stored(tmp_path: Path, content: str) -> None:
    solver = Solver()
    (tmp_path / "boil-0.json").write_text(content)
    with pytest.raises(ConnectionError):
        GoldPaths(tmp_path, solver).path(BOIL)  # type: ignore[arg-type]
    assert solver.asked == 1
    assert (tmp_path / "boil-0.json").read_text() == content
