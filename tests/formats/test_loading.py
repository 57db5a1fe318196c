"""Every export loads with `datasets` by its card, and the lines of the documentation train a step on one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import load_dataset

from configs.schema import FactoryConfig
from flows.runs.run import run_id
from formats.targets.context import Context
from formats.targets.registry import TARGETS
from formats.writing.export import Request, export
from formats.writing.parts import PART
from storage.store import Store
from tests.support.exported_run import MadeUp, exported_run
from tests.support.exports import exported
from tests.support.pages import ROOT, blocks


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    return exported_run(tmp_path_factory.mktemp("made") / "data", copies=3)


TABLES = [name for name, target in TARGETS.items() if target.form != "sessions"]
"""Sessions are shown by the Hub's viewer of traces, and are no table: headers and messages have other columns."""


@pytest.mark.parametrize("name", TABLES)
def test_datasets_reads_it_by_its_card(made: MadeUp, tmp_path: Path, name: str) -> None:
    context: Context = "fold" if TARGETS[name].contexts else "refuse"
    # In parts of a few rows; of ATIF, columns that are empty in a whole part would have no type there.
    report = exported(made, tmp_path / "out", name, context, part_bytes=PART if name == "atif" else 2000)
    data = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(data) == report.audit.rows


def test_the_lines_of_the_documentation_train_a_step(finished: FactoryConfig, tmp_path: Path) -> None:
    """As shown, but for the data folder."""
    store = Store(finished.data_dir)
    export(store, Request("trl-sft", run_id(finished), tmp_path / "sft"))
    [shown] = blocks((ROOT / "docs" / "formats.md").read_text(), "python")
    lines = shown.replace('"data/', f'"{finished.data_dir}/')
    assert lines != shown
    script = (
        f"{lines}\nprint('steps', trainer.state.global_step, trainer.state.log_history[-1]['train_loss'])\n"
    )
    env = os.environ | {"HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    answer = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert "steps 1 " in answer.stdout
