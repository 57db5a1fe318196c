"""What later calls make of the differences and the picture of a comparison: other seeds add to them, other settings
remove them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from configs.comparison import Comparison, load_comparison
from flows.compare.record import finish, picture_file, record_runs
from flows.runs.run import run_id
from storage.comparisons import comparison_file as state_file
from storage.comparisons import read_comparison
from storage.shards import ShardStore
from storage.store import Store
from tests.support.comparisons import comparison_file, finished
from tests.support.store_rows import evaluation


def comparison(
    folder: Path, *overrides: str, seeds: Sequence[int] = (), reference: str = "SFT"
) -> Comparison:
    file = comparison_file(folder, seeds=[0, 1, 2], reference=reference)
    return load_comparison(file, overrides, seeds, data_dir=folder / "data")


def play(compared: Comparison) -> None:
    """Give every run of a comparison its test episodes: STeCa wins a task more than SFT."""
    for seed in compared.seeds:
        for arm, wins in (("SFT", (True, False)), ("STeCa", (True, True))):
            run = run_id(compared.config(arm, seed))
            rows = [
                evaluation(f"{run} {n}", "pick", won, role="trained", task_id=f"task {n}", checkpoint=run)
                for n, won in enumerate(wins)
            ]
            batch = ShardStore(compared.data_dir).write_batch(f"evaluate-{run}", "b0", rows)
            finished(compared.data_dir, run, evaluate=[batch])


@pytest.fixture
def compared(tmp_path: Path) -> Comparison:
    """A comparison of seeds 0, 1 and 2 that is done."""
    first = comparison(tmp_path)
    play(first)
    record_runs(first, first)
    finish(first)
    return first


def stored_seeds(data_dir: Path) -> list[list[int]]:
    """The seeds of each difference in the store."""
    store = Store(data_dir)
    store.ingest()
    return [seeds for (seeds,) in store.query("SELECT seeds FROM comparison_differences")[1]]


def test_another_seed_adds_to_the_differences_and_the_picture(compared: Comparison, tmp_path: Path) -> None:
    assert stored_seeds(compared.data_dir) == [[0, 1, 2]]
    fourth = comparison(tmp_path, seeds=[3])
    record_runs(fourth, fourth)
    assert stored_seeds(compared.data_dir) == [[0, 1, 2]], "no run was replaced"
    play(fourth)
    assert finish(fourth).seeds == [0, 1, 2, 3]
    assert stored_seeds(compared.data_dir) == [[0, 1, 2, 3]]
    rates = Store(compared.data_dir).query("SELECT DISTINCT seeds FROM comparison_success")[1]
    assert rates == [(4,)]
    assert "seeds 0, 1, 2, 3" in picture_file(compared).read_text()


@pytest.mark.parametrize(
    ("overrides", "reference"), [(["tasks.unseen=3"], "SFT"), ([], "STeCa")], ids=["settings", "reference"]
)
def test_no_difference_of_other_settings_stays_when_a_call_is_killed(
    compared: Comparison, tmp_path: Path, overrides: list[str], reference: str
) -> None:
    other = comparison(tmp_path, *overrides, reference=reference)
    record_runs(other, other)
    assert read_comparison(state_file(compared.data_dir, "pair")).differences == ()
    assert stored_seeds(compared.data_dir) == []
    assert not picture_file(compared).exists()


def test_the_same_call_again_keeps_them(compared: Comparison) -> None:
    before = read_comparison(state_file(compared.data_dir, "pair"))
    record_runs(compared, compared.part(["SFT"]))
    assert read_comparison(state_file(compared.data_dir, "pair")) == before
    assert picture_file(compared).exists()


def test_a_report_leaves_the_picture_of_all_seeds(compared: Comparison, tmp_path: Path) -> None:
    before = picture_file(compared).read_bytes()
    words = [
        "compare",
        compared.source,
        "--set",
        f"data_dir={compared.data_dir}",
        "--report",
        "--seeds",
        "1,",
    ]
    for more in ([], ["--reference", "STeCa"], ["--arms", "SFT"]):
        said = CliRunner().invoke(app, [*words, *more])
        assert said.exit_code == 0, said.output
        assert "from the beginning; seed 1" in said.output
        assert picture_file(compared).read_bytes() == before
    out = tmp_path / "own.svg"
    assert CliRunner().invoke(app, [*words, "--out", str(out)]).exit_code == 0
    assert "seed 1" in out.read_text()
