"""The notebook docs/explore.ipynb runs on a store, and was committed with the outputs of one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from nbclient.exceptions import CellExecutionError

from configs.schema import FactoryConfig
from docs.tools import notebook
from docs.tools.notebook import NOTEBOOK, as_page, executed

CELLS: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text())["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]


def test_every_cell_runs_on_a_finished_store(finished: FactoryConfig) -> None:
    """And gives outputs of the same kinds as those that are shown."""
    cells = [cell for cell in executed(finished.data_dir).cells if cell.cell_type == "code"]
    assert [kinds(cell) for cell in cells] == [kinds(cell) for cell in CODE]
    assert [cell.source for cell in cells] == ["".join(cell["source"]) for cell in CODE]


def kinds(cell: Any) -> list[set[str]]:
    return [set(output.get("data", {"text": ""})) for output in cell["outputs"]]


def test_a_cell_that_fails_would_be_noticed(
    finished: FactoryConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.ipynb"
    broken.write_text(
        NOTEBOOK.read_text().replace("FROM run_summary WHERE calib", "FROM runs_summary WHERE calib")
    )
    monkeypatch.setattr(notebook, "NOTEBOOK", broken)
    with pytest.raises(CellExecutionError, match="runs_summary"):
        executed(finished.data_dir)


def test_it_was_committed_with_outputs_and_without_noise() -> None:
    assert len(CODE) >= 10
    assert all(cell["outputs"] and "execution" not in cell["metadata"] for cell in CODE)
    text = re.sub(r'"image/png": "[^"]+"', "", NOTEBOOK.read_text())
    assert re.findall(r"0x[0-9a-f]{8,}|/tmp/|/home/|/root/|Traceback|\"stderr\"", text) == []


def test_its_page_shows_text_code_tables_and_pictures(tmp_path: Path) -> None:
    page = as_page(CELLS, tmp_path, "images/explore")
    assert page.startswith("# Explore a run")
    assert page.count("```python\n") == len(CODE)
    assert "<table" in page
    pictures = re.findall(r"\(images/explore/(cell-\d+\.png)\)", page)
    assert len(pictures) == 2
    assert all((tmp_path / picture).read_bytes().startswith(b"\x89PNG") for picture in pictures)
