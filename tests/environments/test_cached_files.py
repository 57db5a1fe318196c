"""Files of the cache folder: whole or not at all, and made again if they are damaged."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from environments.base import EnvironmentFault
from environments.cached_files import read_json, write_json


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    file = tmp_path / "new" / "file.json"
    write_json(file, [1], "a.setting")
    with pytest.raises(TypeError):
        write_json(file, [object()], "a.setting")
    assert read_json(file) == [1]


def test_nothing_is_read_from_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert read_json(tmp_path / "none.json") is None


def test_a_damaged_file_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "file.json"
    file.write_text('["half')
    with caplog.at_level(logging.WARNING):
        assert read_json(file) is None
    assert caplog.messages == [f"{file}: cannot be read (JSONDecodeError); it is made again"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match=r"cannot be written .*: set a.setting to a folder that can"):
        write_json(tmp_path / "file" / "inside.json", [], "a.setting")
