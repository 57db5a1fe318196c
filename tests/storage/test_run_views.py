"""The views of runs, their settings and their costs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from configs.stages import BEFORE_ROUNDS, STAGES
from storage.runs import RunFolder, Spent, StageState
from storage.shards import BatchRef, ShardStore
from storage.store import Store
from tests.support.store_rows import (
    BEGUN,
    checkpoint,
    deviation,
    llm_call,
    record_run,
    rollout,
    step,
    trajectory,
)

CONFIG = {
    "seed": 3, "rounds": 2, "environment": {"name": "toy", "options": {"rooms": [1, {"a": 2}], "none": {}}},
    "policy": {"base": "org/model", "stop": []}, "rewards": {"mode": "fixed"}, "deviation": {"preset": "paper"},
    "warmup": {"steps": None},
}  # fmt: skip


def stage(name: str, round: int, status: str = "completed", *refs: BatchRef, **fields: object) -> StageState:
    begun = BEGUN + timedelta(minutes=10 * round + STAGES.index(name))
    row = {
        "stage": name,
        "round": round,
        "stage_key": f"{name}-{round}",
        "status": status,
        "started_at": begun,
    }
    return StageState.model_validate(row | {"batches": refs, "seconds": 2.0} | fields)


def record(root: Path, run_id: str, *states: StageState, **config: object) -> None:
    run = RunFolder(root, run_id)
    run.create(run_id, {"name": run_id, **config})
    for state in states:
        run.save_stage(state)


def whole(rounds: int) -> list[StageState]:
    later = [stage(name, round) for round in range(1, rounds + 1) for name in STAGES[len(BEFORE_ROUNDS) :]]
    return [stage(name, 0) for name in BEFORE_ROUNDS] + later


def test_runs_say_how_far_they_came(tmp_path: Path) -> None:
    record(tmp_path, "all", *whole(2), **CONFIG)
    record(tmp_path, "half", *whole(1), **CONFIG)
    record(tmp_path, "failed", *whole(2)[:-1], stage("evaluate", 2, "failed"), rounds=2)
    outdated = [stage("calibrate", 1, "outdated") if s.stage == "calibrate" else s for s in whole(1)]
    record(tmp_path, "redone", *outdated, stage("explore", 2, "running"), rounds=2)
    record(tmp_path, "new")
    store = Store(tmp_path)
    store.ingest()
    sql = "SELECT run_id, status, stages_done, stages, rounds_done, rounds FROM runs ORDER BY run_id"
    assert store.query(sql)[1] == [
        ("all", "completed", 12, 12, 2, 2),
        ("failed", "failed", 11, 12, 1, 2),
        ("half", "incomplete", 7, 12, 1, 2),
        ("new", "incomplete", 0, 7, 0, 1),
        ("redone", "outdated", 6, 12, 1, 2),
    ]
    said = "SELECT seed, world, policy, mode, preset FROM runs WHERE run_id IN ('all', 'new') ORDER BY run_id"
    assert store.query(said)[1] == [
        (3, "toy", "org/model", "fixed", "paper"),
        (None, None, "small", None, None),
    ]
    assert store.query("SELECT stage_names(), stage_place('rewards'), stages_in_round()")[1] == [
        (list(STAGES), STAGES.index("rewards") + 1, 5)
    ]


def test_every_setting_is_a_row(tmp_path: Path) -> None:
    record(tmp_path, "run", **CONFIG)
    store = Store(tmp_path)
    store.ingest()
    assert dict(store.query("SELECT setting, value FROM run_settings WHERE run_id = 'run'")[1]) == {
        "name": "run",
        "seed": "3",
        "rounds": "2",
        "environment.name": "toy",
        "environment.options.rooms": '[1,{"a":2}]',
        "policy.base": "org/model",
        "policy.stop": "[]",
        "rewards.mode": "fixed",
        "deviation.preset": "paper",
        "warmup.steps": None,
    }


@pytest.fixture(scope="module")
def costly(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A run of two rounds. Its explored episode has 2 turns of 7 tokens, its rewards 2 + 1 rollouts of 9; the second
    round reuses a batch of the first, and the calibrations asked a model twice."""
    root = tmp_path_factory.mktemp("costs")
    shards = ShardStore(root)
    explored = shards.write_batch("explore-1", "b0", [trajectory("x"), step("x", 0), step("x", 1)])
    replayed = step("y", 0).model_copy(update={"origin": "deviation"})
    other = shards.write_batch("explore-2", "b0", [trajectory("y"), replayed])
    rewards = []
    for n in (1, 2):
        played = [rollout(f"r{n}{i}", i, ["go"] * 3, f"t{n}") for i in range(n)]
        rewards.append(shards.write_batch("score", f"b{n}", played))
    trained = shards.write_batch("train", "b0", [checkpoint("c0")])
    calls = shards.write_batch("calls", "b0", [llm_call("one"), llm_call("two", usd=None)])
    paid = [Spent(rollouts=2, usd=0.5), Spent(rollouts=7, usd=0.75)]
    record(
        root, "run", stage("warmup", 0, "completed", trained),
        stage("explore", 1, "completed", explored), stage("explore", 2, "completed", explored, other, cached_batches=1),
        stage("rewards", 1, "completed", rewards[1], spent=paid[0]),
        stage("rewards", 2, "completed", *rewards, spent=paid[1], stopped="usd"),
        stage("calibrate", 1, "completed", calls=(calls,)),
    )  # fmt: skip
    record_run(root, "two", explored)
    store = Store(root)
    store.ingest()
    return store


def test_every_stage_has_its_costs(costly: Store) -> None:
    sql = """SELECT round, stage, batches, cached_batches, episodes, turns, tokens, trained_tokens, rollouts_paid,
                 llm_calls, llm_prompt_tokens, llm_completion_tokens, usd FROM stage_costs WHERE run_id = 'run'"""
    assert costly.query(sql)[1] == [
        (0, "warmup", 1, 0, 0, 0, 0, 3, None, 0, 0, 0, None),
        (1, "explore", 1, 0, 1, 2, 14, None, None, 0, 0, 0, None),
        (1, "rewards", 1, 0, 2, 6, 18, None, 2, 0, 0, 0, 0.5),
        (1, "calibrate", 0, 0, 0, 0, 0, None, None, 2, 1800, 100, 0.25),
        (2, "explore", 2, 1, 2, 2, 14, None, None, 0, 0, 0, None),
        (2, "rewards", 2, 0, 3, 9, 27, None, 5, 0, 0, 0, 0.25),
    ]
    assert costly.query("SELECT stage, stopped FROM stage_costs WHERE stopped IS NOT NULL")[1] == [
        ("rewards", "usd")
    ]
    assert costly.query("SELECT stage, tokens FROM stage_costs WHERE run_id = 'two'")[1] == [("explore", 14)]


def test_a_round_that_is_redone_later_pays_what_it_adds(tmp_path: Path) -> None:
    """A run's spending counts on in time: round 1, redone after round 2, has paid only what came on top."""
    played = ShardStore(tmp_path).write_batch("score", "b0", [rollout("r", 0, ["go"], "t")])
    redone = stage("rewards", 1, "completed", played, spent=Spent(rollouts=12, usd=1.0))
    later = redone.started_at + timedelta(hours=1)
    record(
        tmp_path, "run", stage("rewards", 2, "completed", played, spent=Spent(rollouts=7, usd=0.75)),
        redone.model_copy(update={"started_at": later}),
    )  # fmt: skip
    store = Store(tmp_path)
    store.ingest()
    rows = store.query("SELECT round, rollouts_paid, usd FROM stage_costs ORDER BY round")[1]
    assert rows == [(1, 5, 0.25), (2, 7, 0.75)]


def test_compared_turns_are_the_sides_of_a_comparison(tmp_path: Path) -> None:
    sides = {"expert_step_reward_id": "e", "expert_reward": 0.75, "expert_n": 4}
    rows = [
        deviation("d", "deviated", ("r", 0.5, 2), ("x", 0.0, 3), **sides),
        deviation("half", "undecided", ("r", 0.5, 2)),
        deviation("none", "filtered"),
    ]
    record_run(tmp_path, "run", ShardStore(tmp_path).write_batch("decide", "b0", rows))
    store = Store(tmp_path)
    store.ingest()
    columns = "deviation_id, side, trajectory_id, step_index, step_reward_id, reward, n"
    sql = f"SELECT {columns} FROM compared_turns ORDER BY ALL"
    assert store.query(sql)[1] == [
        ("d", "expert", "e", 1, "e", 0.75, 4),
        ("d", "explored", "x", 1, "x", 0.0, 3),
        ("d", "reference", "e", 0, "r", 0.5, 2),
        ("half", "reference", "e", 0, "r", 0.5, 2),
    ]
