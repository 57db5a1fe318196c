"""Comparisons in the store: the tables, the views over runs, and what a rebuild keeps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

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
from tests.support.comparisons import finished
from tests.support.store_rows import (
    BEGUN,
    calibration,
    checkpoint,
    deviation,
    evaluation,
    example,
    pair,
    rollout,
    scored_turn,
    trajectory,
)

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
        ("pair", "STeCa", "SFT", "unseen", "beginning", [0], 2, 0.5, 0.0, 1.0, "success")
    ]


def test_each_arm_stands_beside_the_reference_task_by_task(store: Store) -> None:
    columns = "arm, reference, seed, task_id, won, reference_won"
    assert store.query(f"SELECT {columns} FROM comparison_pairs ORDER BY arm, task_id")[1] == [
        ("STeCa", "SFT", 0, "task 0", True, True),
        ("STeCa", "SFT", 0, "task 1", True, False),
        ("warm-up", "SFT", 0, "task 0", False, True),
        ("warm-up", "SFT", 0, "task 1", False, False),
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


def test_the_mean_reward_stands_beside_success(store: Store) -> None:
    run = [
        trajectory(name).model_copy(update={"outcome": reward})
        for name, reward in (("a0", 0.25), ("a1", 0.75))
    ]
    rows = [
        evaluation(
            f"g{n}", "pick", False, role="trained", task_id=f"task {n}", checkpoint="g", trajectory_id=t
        )
        for n, t in enumerate(("a0", "a1"))
    ]
    batch = ShardStore(store.root).write_batch("e5", "b0", [*run, *rows])
    finished(store.root, "steca-1", rounds=2, evaluate=[batch])
    store.ingest()
    query = "SELECT n, rate, reward, reward_low, reward_high FROM comparison_success WHERE arm = 'STeCa'"
    ((n, rate, reward, low, high),) = store.query(query)[1]
    assert (n, rate, reward) == (4, 0.5, 0.75)  # seed 0 won both
    assert (low, high) == pytest.approx(pooled_interval({"task 0": [1.0, 0.25], "task 1": [1.0, 0.75]}))


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


def costs_of(root: Path, column: str, stage: str, **runs: tuple[float, Sequence[BatchRef]]) -> dict[str, Any]:
    """One column of comparison_costs by arm. `runs`: seconds and batches of a stage, by the arm whose run it is of."""
    for arm, (seconds, batches) in runs.items():
        finished(root, arm, seconds=seconds, **{stage: batches})
    compared = tuple(ComparedRun(arm=arm, seed=0, run_id=arm, overrides={}) for arm in runs)
    save_comparison(root, ComparisonState(name="costs", reference=next(iter(runs)), runs=compared))
    store = Store(root)
    store.ingest()
    query = f"SELECT arm, {column} FROM comparison_costs WHERE comparison = 'costs' AND stage = ?"
    return dict(store.query(query, [stage])[1])


def test_a_training_of_the_same_set_is_not_charged_for_a_longer_one(tmp_path: Path) -> None:
    shards = ShardStore(tmp_path)
    sets = shards.write_batch("assemble-1", "b0", [example("s1", "calibrated")])
    short, long = (
        shards.write_batch(f"train-{digest}", "b0", [checkpoint(digest)]) for digest in ("c1", "c2")
    )
    found = costs_of(tmp_path, "seconds", "train", one=(60.0, [sets, short]), two=(600.0, [sets, long]))
    assert found == {"one": 60.0, "two": 600.0}


def test_an_exploration_is_not_charged_for_the_samples_of_another_arm(tmp_path: Path) -> None:
    shards = ShardStore(tmp_path)
    greedy = shards.write_batch("explore-1", "b0", [trajectory("x")])
    samples = shards.write_batch("sample-1", "b0", [trajectory("y")])
    found = costs_of(
        tmp_path,
        "seconds",
        "explore",
        ETO=(2.0, [greedy]),
        RFT=(50.0, [greedy, samples]),
        IPR=(9.0, [greedy]),
    )
    assert found == {"ETO": 9.0, "RFT": 50.0, "IPR": 9.0}, "ETO and IPR did the same"


def test_rollouts_of_another_arm_are_charged_whatever_the_verdicts(tmp_path: Path) -> None:
    """The second arm decides otherwise on the same rollouts; the third played more of them for the same turns; the
    fourth has the rows of the first from a batch of another key."""
    shards = ShardStore(tmp_path)
    first, second = rollout("r1", 0, ["look"]), rollout("r2", 1, ["look"])
    scores = shards.write_batch("score-1", "b0", [scored_turn("s1", "expert"), first])
    more = shards.write_batch("score-2", "b0", [scored_turn("s1", "expert"), first, second])
    same = shards.write_batch("score-3", "b0", [scored_turn("s1", "expert"), first])
    verdicts = [
        shards.write_batch(f"decide-{verdict}", "b0", [deviation(verdict, verdict)])
        for verdict in ("deviated", "undecided")
    ]
    found = costs_of(
        tmp_path, "seconds", "rewards",
        one=(70.0, [scores, verdicts[0]]), two=(1.0, [scores, verdicts[1]]), three=(400.0, [more, verdicts[0]]),
        four=(3.0, [same]),
    )  # fmt: skip
    assert found == {"one": 70.0, "two": 70.0, "three": 400.0, "four": 70.0}


def test_a_stage_that_made_nothing_is_charged_its_own_seconds(tmp_path: Path) -> None:
    verdicts = ShardStore(tmp_path).write_batch("decide-1", "b0", [deviation("d", "undecided")])
    found = costs_of(
        tmp_path, "seconds", "rewards", one=(1.0, [verdicts]), two=(9.0, [verdicts]), three=(2.0, [])
    )
    assert found == {"one": 1.0, "two": 9.0, "three": 2.0}


def test_reflections_are_counted_where_one_was_asked_for(tmp_path: Path) -> None:
    """A repair that fails when it is executed never gets one."""
    repairs = [
        calibration("kept", "expert_suffix", None),
        calibration("unusable", "expert_suffix", "no_reflection", "the action is not the required one"),
        calibration("failed", "planner", "repair_failed", "7 turns ran out before the goal"),
        calibration("planless", "planner", "no_plan", "the expert knows no way on"),
    ]
    batch = ShardStore(tmp_path).write_batch("calibrate-1", "b0", repairs)
    assert costs_of(tmp_path, "reflections", "calibrate", one=(1.0, [batch])) == {"one": 2}


def test_preference_pairs_are_a_part_of_the_training_set(tmp_path: Path) -> None:
    shards = ShardStore(tmp_path)
    pairs = shards.write_batch("pair-1", "b0", [pair("p1", "e", "x"), pair("p2", "e", "y")])
    sets = shards.write_batch("assemble-1", "b0", [example("s1", "sampled_success")])
    costs_of(tmp_path, "seconds", "train", ETO=(1.0, [pairs]), RFT=(1.0, [sets]))
    query = "SELECT arm, dataset, examples FROM comparison_training_sets ORDER BY arm"
    assert Store(tmp_path).query(query)[1] == [("ETO", "pairs", 2), ("RFT", "sampled_success", 1)]


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
