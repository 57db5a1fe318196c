"""Models as JSON files: written as a whole, and refused in one line that names the file and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.faults import StorageFault
from storage.json_files import read_model, to_json, write_model
from storage.runs import Spent


def read(path: Path) -> tuple[Spent, bytes]:
    return read_model(path, Spent, "run file", "delete it")


def test_a_model_is_read_back_with_its_bytes(tmp_path: Path) -> None:
    spent = Spent(rollouts=3, usd=0.5)
    write_model(tmp_path / "spent.json", spent)
    assert read(tmp_path / "spent.json") == (spent, to_json(spent))
    assert (tmp_path / "spent.json").read_bytes() == to_json(spent)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            "{",
            r"damaged, or a newer version wrote it \(Invalid JSON: .*\); update the project, or delete it$",
        ),
        (
            '{"rollouts": "many"}',
            r"newer version wrote it \(rollouts: Input should be a valid integer.*or delete it$",
        ),
        ('{"dreams": 1}', r"newer version wrote it \(dreams: Extra inputs .*or delete it$"),
        (None, r"cannot be read: No such file or directory; make it readable, or delete it$"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path, content: str | None, problem: str) -> None:
    path = tmp_path / "spent.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(StorageFault, match=f"^run file {path} .*{problem}") as caught:
        read(path)
    assert "\n" not in str(caught.value)
