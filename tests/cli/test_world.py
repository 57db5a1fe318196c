"""`steca world new` and `steca world check`, as a user starts them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.world.new import write_world
from environments.base import EnvironmentFault


@pytest.mark.parametrize("name", ["json", "sys", "torch", "steca", "__main__"])
def test_a_name_that_python_would_import_from_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=f"{name} is the name of another module .*: choose another"):
        write_world(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_folders_and_own_files_of_the_same_name_are_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mailhouse").mkdir()
    write_world("mailhouse", Path())
    write_world("mailhouse", tmp_path / "elsewhere")
    with pytest.raises(EnvironmentFault, match="exists already"):
        write_world("mailhouse", Path())
