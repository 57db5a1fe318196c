"""The store opens in other programs, with the lines that docs/store.md shows."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pandas
import polars
import pytest

from configs.schema import FactoryConfig
from storage.store import Store
from tests.support.pages import ROOT, blocks

PAGE = (ROOT / "docs" / "store.md").read_text()
SHOWN = "data/trajectories.duckdb"
CLI = Path(sys.executable).parent / "duckdb"


def shown_lines() -> list[str]:
    """The one-liners of the page."""
    [block] = [block for block in blocks(PAGE, "python") if SHOWN in block]
    return [line.partition("  #")[0] for line in block.splitlines() if SHOWN in line]


@pytest.mark.parametrize(
    ("line", "kind"),
    zip(shown_lines(), (pandas.DataFrame, polars.DataFrame), strict=True),
    ids=["pandas", "polars"],
)
def test_a_frame_takes_one_line(finished: FactoryConfig, line: str, kind: type) -> None:
    frame: Any = eval(line.replace(SHOWN, str(finished.data_dir / "trajectories.duckdb")), {"duckdb": duckdb})
    columns, rows = Store(finished.data_dir).query("FROM success")
    assert isinstance(frame, kind)
    assert list(frame.columns) == list(columns)
    assert len(frame) == len(rows) > 0


def duckdb_cli(store: Path) -> subprocess.CompletedProcess[str]:
    [shown] = [line for block in blocks(PAGE, "sh") for line in block.splitlines() if f'{SHOWN} "' in line]
    _, *arguments = shlex.split(shown.replace(SHOWN, str(store)))
    return subprocess.run([str(CLI), "-csv", *arguments], capture_output=True, text=True)


def test_the_command_line_of_duckdb_1_5_opens_it(finished: FactoryConfig) -> None:
    """The library that writes the store is newer than that."""
    version = subprocess.run([str(CLI), "--version"], capture_output=True, text=True).stdout
    assert version.startswith("v1.5.")
    assert duckdb.__version__.startswith("2.")
    columns, rows = Store(finished.data_dir).query("FROM success")
    answer = duckdb_cli(finished.data_dir / "trajectories.duckdb")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[0].split(",") == list(columns)
    assert len(answer.stdout.splitlines()) == 1 + len(rows)


def test_every_view_answers_there_too(finished: FactoryConfig) -> None:
    """Views are stored as SQL: what only DuckDB 2 understands would fail in 1.5."""
    views = Store(finished.data_dir).query(
        "SELECT name FROM help WHERE kind = 'view' AND column_name IS NULL"
    )[1]
    store = str(finished.data_dir / "trajectories.duckdb")
    asked = ";".join(f"SELECT count(*) FROM {name}" for (name,) in views)
    answer = subprocess.run([str(CLI), "-readonly", "-csv", store, asked], capture_output=True, text=True)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.splitlines().count("count_star()") == len(views) > 40


def test_a_store_of_a_newer_format_would_be_noticed(tmp_path: Path) -> None:
    with duckdb.connect(tmp_path / "new.duckdb", config={"storage_compatibility_version": "latest"}) as new:
        new.execute("CREATE VIEW success AS SELECT 1 AS one")
    assert duckdb_cli(tmp_path / "new.duckdb").returncode != 0
