"""Comparisons in the store: the tables, the views over runs, and what a rebuild keeps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from configs.stages import schedule
from steca.paired import pooled_interval
from steca.rewards import wilson_interval
from storage.comparisons import (
    ArmDifference,
    ComparedRun,
    ComparisonState,
    comparison_file,
    read_comparison,
    save_comparison,
)
from storage.records import Record
from storage.runs import RunFolder, StageState
from storage.shards import BatchRef, ShardStore
from storage.store import Store
from tests.support.store_rows import BEGUN, calibration, evaluation, example

STATE = ComparisonState(
    name="pair",
    reference="SFT",
    runs=(
        ComparedRun(arm="SFT", seed=0, run_id="sft-0", overrides={"datasets.calibrated": False}),
        ComparedRun(arm="STeCa", seed=0, run_id="steca-0", overrides={}),
        ComparedRun(arm="STeCa", seed=1, run_id="steca-1", overrides={}),
    ),
    differences=(
        ArmDifference(
            arm="STeCa", split="unseen", start="beginning", seeds=(0,), pairs=2, difference=0.5, low=0.0, high=1.0
        ),
    ),
)  # fmt: skip


def finished(
    root: Path, run_id: str, rounds: int = 1, seconds: float = 2.0, **batches: Sequence[BatchRef]
) -> None:
    """A whole run; `batches` by stage, those of the last round."""
    folder = RunFolder(root, run_id)
    folder.create(run_id, {"name": run_id, "rounds": rounds})
    for stage, round in schedule(rounds):
        at = 0 if stage in ("demonstrate", "warmup") else round
        folder.save_stage(
            StageState(
                stage=stage, round=at, stage_key=stage, status="completed", started_at=BEGUN, seconds=seconds,
                ended_at=BEGUN + timedelta(seconds=seconds), batches=tuple(batches.get(stage, ())),
            )
        )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The arms of STATE. Arm SFT wins one of two tasks, STeCa both; its second seed is not finished. Both repaired the
    same deviation: SFT's run made the batch in 30 seconds."""
    shards = ShardStore(tmp_path)

    def batch(key: str, *rows: Record) -> BatchRef:
        return shards.write_batch(key, "b0", rows)

    def played(name: str, *wins: bool, role: str = "trained") -> list[Record]:
        return [
            evaluation(f"{name}{n}", "pick", won, role=role, task_id=f"task {n}", checkpoint=name)
            for n, won in enumerate(wins)
        ]

    warm = played("w", False, False, role="warmup")
    repairs = batch("calibrate-1", calibration("one", "expert_suffix", None))
    sft = batch("evaluate-1", *warm, *played("a", True, False))
    steca = batch("evaluate-2", *warm, *played("b", True, True))
    early = batch("evaluate-3", *warm, *played("c", False, False))
    sets = batch("assemble-2", example("s1", "calibrated"), example("s2", "expert"))
    finished(tmp_path, "sft-0", seconds=30.0, calibrate=[repairs], evaluate=[sft])
    finished(tmp_path, "steca-0", calibrate=[repairs], train=[sets], evaluate=[steca])
    unfinished = RunFolder(tmp_path, "steca-1")
    unfinished.create("steca-1", {"name": "steca-1", "rounds": 2})
    unfinished.save_stage(
        StageState(
            stage="evaluate", round=1, stage_key="e", status="completed", started_at=BEGUN, batches=(early,)
        )
    )
    save_comparison(tmp_path, STATE)
    store = Store(tmp_path)
    store.ingest()
    return store


def test_runs_and_differences_are_rows(store: Store) -> None:
    columns = "arm, seed, run_id, overrides->>'$.\"datasets.calibrated\"', is_reference"
    assert store.query(f"SELECT {columns} FROM comparisons ORDER BY ALL")[1] == [
        ("SFT", 0, "sft-0", "false", True),
        ("STeCa", 0, "steca-0", None, False),
        ("STeCa", 1, "steca-1", None, False),
    ]
    assert store.query("FROM comparison_differences")[1] == [
        ("pair", "STeCa", "SFT", "unseen", "beginning", [0], 2, 0.5, 0.0, 1.0)
    ]


def test_success_is_pooled_over_finished_runs_and_the_warm_up_is_an_arm(store: Store) -> None:
    rows = store.query(
        "SELECT arm, seeds, n, successes, rate, low, high FROM comparison_success ORDER BY arm"
    )[1]
    assert [row[:5] for row in rows] == [
        ("SFT", 1, 2, 1, 0.5),
        ("STeCa", 1, 2, 2, 1.0),
        ("warm-up", 1, 2, 0, 0.0),
    ]
    for _, _, n, won, _, low, high in rows:
        assert (low, high) == pytest.approx(wilson_interval(won, n))


def test_tasks_that_several_seeds_played_widen_the_interval(store: Store) -> None:
    won = {"task 0": [True, True], "task 1": [True, True], "task 2": [False], "task 3": [False]}
    rows = [
        evaluation(f"d{task}", "pick", outcomes[-1], role="trained", task_id=task, checkpoint="d")
        for task, outcomes in won.items()
    ]
    batch = ShardStore(store.root).write_batch("e4", "b0", rows)
    finished(store.root, "steca-1", rounds=2, evaluate=[batch])
    store.ingest()
    query = "SELECT seeds, n, successes, low, high FROM comparison_success WHERE arm = 'STeCa'"
    ((seeds, n, successes, low, high),) = store.query(query)[1]
    assert (seeds, n, successes) == (2, 6, 4)
    assert (low, high) == pytest.approx(pooled_interval(won))
    assert high - low > wilson_interval(4, 6)[1] - wilson_interval(4, 6)[0]


def test_it_joins_with_success(store: Store) -> None:
    query = """SELECT arm, sum(successes) FROM comparisons JOIN success USING (run_id)
               WHERE role = 'trained' AND seed = 0 GROUP BY arm ORDER BY arm"""
    assert store.query(query)[1] == [("SFT", 1), ("STeCa", 2)]


def test_only_the_last_round_counts(store: Store) -> None:
    last = ShardStore(store.root).write_batch(
        "r2", "b0", [evaluation("r2", "pick", True, role="trained", checkpoint="r2")]
    )
    first = RunFolder(store.root, "steca-1").stage(1, "evaluate")
    assert first
    finished(store.root, "steca-1", rounds=2, evaluate=[last])
    RunFolder(store.root, "steca-1").save_stage(first)
    store.ingest()
    query = "SELECT checkpoint, success FROM comparison_episodes WHERE arm = 'STeCa' AND seed = 1"
    assert store.query(query)[1] == [("r2", True)]


def test_training_sets_are_counted_by_part(store: Store) -> None:
    query = "SELECT arm, seed, dataset, examples FROM comparison_training_sets"
    assert store.query(query)[1] == [("STeCa", 0, "calibrated", 1), ("STeCa", 0, "expert", 1)]


def test_an_arm_is_charged_for_what_another_has_made(store: Store) -> None:
    query = "SELECT arm, reflections, seconds FROM comparison_costs WHERE stage = 'calibrate' AND seed = 0 ORDER BY arm"
    assert store.query(query)[1] == [("SFT", 1, 30.0), ("STeCa", 1, 30.0)]


def test_a_rebuilt_store_has_the_same(store: Store) -> None:
    tables = [
        f"FROM {name} ORDER BY ALL"
        for name in ("comparisons", "comparison_differences", "comparison_success")
    ]
    before = [store.query(table) for table in tables]
    store.rebuild()
    assert [store.query(table) for table in tables] == before


def test_a_damaged_file_is_set_aside_and_the_rest_is_there(store: Store) -> None:
    save_comparison(store.root, STATE.model_copy(update={"name": "other"}))
    comparison_file(store.root, "pair").write_text("{")
    copy = comparison_file(store.root, "copy")
    copy.parent.mkdir()
    copy.write_bytes(comparison_file(store.root, "other").read_bytes())
    report = store.ingest()
    assert {item.file for item in report.set_aside} == {
        f"comparisons/{name}/comparison.json" for name in ("pair", "copy")
    }
    assert any("delete it and compare again" in item.reason for item in report.set_aside)
    assert store.query("SELECT DISTINCT comparison FROM comparisons")[1] == [("other",)]


def test_an_unchanged_file_is_not_written_again(tmp_path: Path) -> None:
    save_comparison(tmp_path, STATE)
    before = comparison_file(tmp_path, "pair").stat().st_mtime_ns
    save_comparison(tmp_path, read_comparison(comparison_file(tmp_path, "pair")))
    assert comparison_file(tmp_path, "pair").stat().st_mtime_ns == before
