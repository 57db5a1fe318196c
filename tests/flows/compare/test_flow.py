"""A whole comparison on the finished tiny run: the flow, what it leaves in the store, and what the command prints."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.compare import command
from cli.main import app
from configs.comparison import load_comparison
from configs.schema import FactoryConfig
from flows.artifacts.comparison_page import comparison_page
from flows.compare.flow import compare
from flows.compare.rates import differences
from flows.compare.results import combined, from_store, kept
from flows.compare.tables import tables
from flows.faults import StageFault
from flows.runs.run import run_id
from storage.comparisons import comparison_file as state_file
from storage.comparisons import read_comparison
from storage.runs import RunFolder
from storage.store import Store
from tests.support.comparisons import ARMS, comparison_file


@dataclass(frozen=True)
class Compared:
    """A comparison of one seed that was run by the flow, in the folder of the finished tiny run."""

    file: Path
    data_dir: Path

    @property
    def store(self) -> Store:
        return Store(self.data_dir)

    def run(self, arm: str) -> RunFolder:
        config = load_comparison(self.file, data_dir=self.data_dir).config(arm, 0)
        return RunFolder(self.data_dir, run_id(config))

    def steca(self, *options: str) -> Any:
        words = ["compare", str(self.file), "--set", f"data_dir={self.data_dir}", *options]
        return CliRunner().invoke(app, words)


@pytest.fixture(scope="module")
def compared(finished: FactoryConfig, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    folder = tmp_path_factory.mktemp("compared")
    shutil.copytree(finished.data_dir, folder / "data")
    file = comparison_file(folder, seeds=1)
    assert compare(file, data_dir=folder / "data") == "pair"
    return Compared(file, folder / "data")


def test_shared_stages_run_once(compared: Compared) -> None:
    """All but the training and the test of what it trained come from the finished run, for either arm. SFT trains on
    expert runs only, so it explores nothing, plays no rollout and repairs nothing."""
    sft, steca = ({state.stage: state for state in compared.run(arm).stages()} for arm in ARMS)
    shared = ("demonstrate", "warmup")
    assert all(sft[stage].batches == steca[stage].batches for stage in shared)
    assert all(sft[stage].cached_batches == len(sft[stage].batches) > 0 for stage in shared)
    assert all(state.cached_batches == len(state.batches) for state in steca.values())
    assert all(not sft[stage].batches for stage in ("explore", "rewards", "calibrate"))
    assert sft["train"].cached_batches == 0
    assert compared.run("SFT").spent().rollouts == 0
    query = """SELECT count(DISTINCT provenance) FROM run_provenance JOIN comparisons USING (run_id)
               JOIN trajectories USING (provenance) WHERE kind = 'explored'"""
    assert compared.store.query(query)[1] == [(len(steca["explore"].batches),)]


def test_rows_and_picture_are_there(compared: Compared) -> None:
    runs = compared.store.query("SELECT arm, seed, run_id, is_reference FROM comparisons ORDER BY arm")[1]
    assert runs == [
        ("SFT", 0, compared.run("SFT").run_id, True),
        ("STeCa", 0, compared.run("STeCa").run_id, False),
    ]
    rates = compared.store.query("SELECT arm, split, start, n FROM comparison_success")[1]
    assert {row[0] for row in rates} == {"warm-up", *ARMS}
    assert {row[3] for row in rates if row[2] == "beginning"} == {2}
    state = read_comparison(state_file(compared.data_dir, "pair"))
    assert state.differences
    stored = compared.store.query(
        "SELECT arm, split, start, difference FROM comparison_differences ORDER BY ALL"
    )[1]
    assert stored == sorted((d.arm, d.split, d.start, d.difference) for d in state.differences)
    assert (compared.data_dir / "comparisons" / "pair" / "success.svg").read_text().startswith("<?xml")


def test_the_rows_of_an_arm_are_those_of_its_run(compared: Compared) -> None:
    query = """SELECT a.split, a.start, a.n, a.successes FROM comparison_success a
               JOIN comparisons c ON c.arm = a.arm JOIN success s ON s.run_id = c.run_id
                   AND s.role = 'trained' AND s.split = a.split AND s.start = a.start
                   AND s.n = a.n AND s.successes = a.successes"""
    rows = compared.store.query(query)[1]
    own = compared.store.query("SELECT * FROM comparison_success WHERE arm <> 'warm-up'")[1]
    assert len(rows) == len(own) > 0


def test_costs_and_sets_are_those_of_the_arm(compared: Compared) -> None:
    whole = load_comparison(compared.file, data_dir=compared.data_dir)
    header = from_store(compared.store, whole).header
    assert {(size.arm, size.dataset) for size in header.sets} >= {("SFT", "expert"), ("STeCa", "calibrated")}
    assert not [size for size in header.sets if (size.arm, size.dataset) == ("SFT", "calibrated")]
    rollouts = {cost.arm: (cost.needed, cost.episodes) for cost in header.costs if cost.stage == "rewards"}
    ((played,),) = compared.store.query(
        "SELECT count(*) FROM run_rollouts WHERE run_id = ?", [compared.run("STeCa").run_id]
    )[1]
    assert rollouts == {"SFT": (False, 0), "STeCa": (True, played)}
    assert all(cost.seconds for cost in header.costs if cost.needed)


def without_paths(output: str) -> list[str]:
    return [line for line in output.splitlines() if not line.startswith(("picture", "store", "kept", "next"))]


def test_the_report_of_a_kept_file_is_that_of_the_store(compared: Compared, tmp_path: Path) -> None:
    said = compared.steca("--report", "--save", str(tmp_path))
    assert said.exit_code == 0, said.output
    commands = [line.split()[1:3] for line in said.output.splitlines() if line.startswith("next ")]
    assert commands == [["steca", "sql"], ["steca", "trace"], ["steca", "view"], ["steca", "serve"]]
    file = tmp_path / "pair.parquet"
    again = CliRunner().invoke(app, ["compare", "--from", str(file)])
    assert without_paths(again.output) == without_paths(said.output)
    assert "minus SFT" in again.output
    assert (tmp_path / "pair.svg").exists()
    assert max(map(len, without_paths(again.output))) <= 100
    read = read_comparison(state_file(compared.data_dir, "pair"))
    assert tuple(differences(combined([kept(file)]))) == read.differences


def test_what_is_finished_needs_no_server(compared: Compared, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_may_start(*_: object) -> None:
        raise AssertionError("a Prefect server was started")

    monkeypatch.setattr(command, "prefect_server", none_may_start)
    said = compared.steca()
    assert said.exit_code == 0, said.output
    assert "1 of 1 runs" not in said.output
    assert "2 of 2 runs are finished already" in said.output
    assert "Success on unseen tasks, from the beginning; seed 0" in said.output


def test_other_references_and_arms_are_printed(compared: Compared, tmp_path: Path) -> None:
    said = compared.steca("--report", "--reference", "STeCa", "--out", str(tmp_path / "p.png"))
    assert "minus STeCa" in said.output
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert "there is no arm RFT" in compared.steca("--arms", "RFT").output
    assert compared.steca("--seeds", "x").exit_code == 2
    nothing = compared.steca("--report", "--seeds", "5,")
    assert nothing.exit_code == 1
    assert "is finished in" in nothing.output


def test_a_failing_arm_fails_the_flow_when_the_others_are_done(compared: Compared, tmp_path: Path) -> None:
    shutil.copytree(compared.data_dir, tmp_path / "data")
    arms = {"diverges": {"training.learning_rate": 1e30}, **ARMS}
    file = comparison_file(tmp_path, name="failing", seeds=1, arms=arms)
    with pytest.raises(StageFault, match=r"diverges, seed 0: .*training has diverged"):
        compare(file, data_dir=tmp_path / "data")
    found = Store(tmp_path / "data").query(
        "SELECT DISTINCT arm FROM comparison_success WHERE comparison = 'failing' ORDER BY arm"
    )
    assert found[1] == [("SFT",), ("STeCa",), ("warm-up",)]


def test_its_page_shows_what_the_command_prints(compared: Compared) -> None:
    results = from_store(compared.store, load_comparison(compared.file, data_dir=compared.data_dir))
    page = comparison_page(results, compared.store.published)
    assert page.key == "comparison-pair-results"
    assert page.markdown.startswith("# Comparison pair\n")
    assert "data:image/png;base64," in page.markdown
    printed = compared.steca("--report").stdout
    for table in tables(results):
        assert f"### {table.title}" in page.markdown.replace("\\", "")
        assert table.title in printed
        for row in table.rows:
            assert all(cell in page.markdown.replace("\\", "") for cell in row)
            assert all(word in printed for cell in row for word in cell.split())
    [query] = re.findall(r"for example `(SELECT .*?)`", page.markdown)
    assert len(compared.store.query(query)[1]) > 2
