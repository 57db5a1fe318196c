"""The views and macros, against figures worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy.stats import binomtest

from steca.evidence import gap_interval
from steca.rewards import Tally
from storage.shards import ShardStore
from storage.store import Store
from tests.support.store_rows import (
    calibration,
    deviation,
    evaluation,
    example,
    record_run,
    rollout,
    rollouts,
    scored_turn,
    trajectory,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Run `one` has both batches, run `two` only the first; an evaluation is in both batches.

    Run `again` has the first batch in two rounds, run `empty` none.
    """
    root = tmp_path_factory.mktemp("store")
    shards = ShardStore(root)
    first = shards.write_batch(
        "explore-1",
        "b0",
        [
            trajectory("x"),
            scored_turn("before", "expert"),
            scored_turn("after", "explored"),
            deviation("fell", "deviated", ("before", 0.8, 5), ("after", 0.2, 5), expert_is_better="yes"),
            deviation("same", "not_deviated", ("before", 0.8, 5), ("before", 0.8, 5)),
            deviation("skipped", "filtered"),
            calibration("kept", "expert_suffix", None),
            evaluation("e1", "pick", True, invalid=2),
            evaluation("e2", "pick", False, invalid=1),
            evaluation("e3", "heat", True),
        ],
    )
    second = shards.write_batch(
        "explore-1",
        "b1",
        [
            trajectory("y"),
            *(rollout(f"r{index}", index, ["look"]) for index in range(3)),
            calibration("stuck", "expert_suffix", "repair_failed", "4 turns ran out before the goal"),
            calibration("no plan", "planner", "no_plan", "the expert knows no way on"),
            calibration("stuck too", "planner", "repair_failed", "7 turns ran out before the goal"),
            calibration("stuck again", "planner", "repair_failed: 9 turns: all ran out"),  # up to version 0.3
            example("s1", "calibrated"),
            example("s2", "expert"),
            example("s3", "expert"),
            evaluation("e3", "heat", True),
            evaluation("e4", "heat", True, invalid=1),
        ],
    )
    record_run(root, "one", first, second)
    record_run(root, "two", first)
    record_run(root, "again", first, round=1)
    record_run(root, "again", first, round=2)
    record_run(root, "empty")
    store = Store(root)
    store.ingest()
    return store


def test_step_reward_gaps(store: Store) -> None:
    rows = store.query(
        """SELECT deviation_id, reference_reward, reference_n, explored_reward, explored_n, round(gap, 9),
                  gap_low, gap_high, error_rate, verdict, expert_beats_explored, selected
           FROM step_reward_gaps WHERE run_id = 'two' ORDER BY 1"""
    )[1]
    low, high = gap_interval(Tally(5, 4.0), Tally(5, 1.0), 0.05)
    same = gap_interval(Tally(5, 4.0), Tally(5, 4.0), 0.05)
    assert rows == [
        ("fell", 0.8, 5, 0.2, 5, -0.6, low, high, 0.05, "deviated", "yes", True),
        ("same", 0.8, 5, 0.8, 5, 0.0, *same, 0.05, "not_deviated", None, False),
        ("skipped", None, None, None, None, None, None, None, None, "filtered", None, False),
    ]
    assert store.query("SELECT count(*) FROM step_reward_gaps WHERE run_id = 'one'")[1] == [(3,)]


STEP_REWARDS = """SELECT step_reward_id, trajectory_id, n, successes, round(reward, 9), round(progress, 9),
    round(low, 6), round(high, 6), terminal, seeds, rollout_steps, rollout_tokens FROM step_rewards ORDER BY ALL"""


def test_step_rewards(tmp_path: Path) -> None:
    """A turn with rollouts, two turns that share one history, one that ended its episode, one not rolled out yet."""
    ended = scored_turn("ended", "explored", outcome=1.0)
    parts = [rollout(f"p{n}", n, ["look"], "part", n / 4, progress=0.5) for n in (1, 0)]
    turns = [
        scored_turn("some", "expert"),
        scored_turn("some", "expert", trajectory_id="y"),
        scored_turn("part", "explored"),
        scored_turn("none", "expert"),
    ]
    evidence = rollouts("some", [1.0, 0.0, 0.0, 0.0])
    ShardStore(tmp_path).write_batch("explore-1", "b0", [*turns, ended, *evidence, *parts])
    store = Store(tmp_path)
    store.ingest()
    low, high = (round(end, 6) for end in Tally(4, 1.0).interval)
    few = [round(end, 6) for end in Tally(2, 0.25).interval]
    seeds = [2**63 - 1 - n for n in range(4)]
    assert store.query(STEP_REWARDS)[1] == [
        ("ended", "x", 0, 0, 1.0, 1.0, 1.0, 1.0, True, [], 0, 0),
        ("none", "x", 0, 0, None, None, None, None, False, [], 0, 0),
        ("part", "x", 2, 0, 0.125, 0.5, *few, False, seeds[:2], 2, 18),
        ("some", "x", 4, 1, 0.25, 0.25, low, high, False, seeds, 8, 36),
        ("some", "y", 4, 1, 0.25, 0.25, low, high, False, seeds, 8, 36),
    ]


def test_step_values_can_be_summed(tmp_path: Path) -> None:
    """Three turns share one history and its four rollouts; one ended its episode; one rollout was played twice."""
    shared = [scored_turn("some", "expert", trajectory_id=name) for name in "xyz"]
    other = [scored_turn("other", "explored"), scored_turn("ended", "explored", outcome=1.0)]
    played = [*rollouts("some", [1.0, 0.0, 0.0, 0.0]), *rollouts("other", [1.0, 1.0])]
    twice = rollout("twice", 1, ["look"] * 7, "other", 0.0)
    shards = ShardStore(tmp_path)
    shards.write_batch("explore-1", "b0", [*shared, *other, *played])
    shards.write_batch("explore-2", "b0", [twice])
    store = Store(tmp_path)
    assert store.ingest().rollout_conflicts == 1
    sql = "SELECT step_reward_id, turns, n, reward, terminal, rollout_tokens, rollout_steps FROM step_values ORDER BY 1"
    assert store.query(sql)[1] == [
        ("ended", 1, 0, 1.0, True, 0, 0),
        ("other", 1, 2, 1.0, False, 18, 4),
        ("some", 3, 4, 0.25, False, 36, 8),
    ]
    used = store.query("SELECT sum(tokens), sum(n_steps) FROM distinct_rollouts")[1]
    assert store.query("SELECT sum(rollout_tokens), sum(rollout_steps) FROM step_values")[1] == used
    assert store.query("SELECT sum(rollout_tokens) FROM step_rewards")[1] == [(18 + 3 * 36,)]
    assert store.query("FROM rollout_conflicts")[1] == [("twice", "other", 1, "other-1")]
    shards.write_batch("explore-1", "b0", [*shared, *other])
    assert store.ingest().rollout_conflicts == 0
    assert store.query("SELECT rollout_id FROM distinct_rollouts")[1] == [("twice",)]


def test_success_by_task_type(store: Store) -> None:
    rows = store.query(
        """SELECT run_id, checkpoint, role, split, start, task_type, n, successes, rate, round(low, 4), round(high, 4)
           FROM success_by_task_type WHERE run_id IN ('one', 'two') ORDER BY ALL"""
    )[1]
    policy = ("c0", "warmup", "unseen", "beginning")
    # Wilson, 95 %: 1 of 2 -> .0945-.9055; 2 of 2 -> .3424-1; 1 of 1 -> .2065-1
    assert rows == [
        ("one", *policy, "heat", 2, 2, 1.0, 0.3424, 1.0),
        ("one", *policy, "pick", 2, 1, 0.5, 0.0945, 0.9055),
        ("two", *policy, "heat", 1, 1, 1.0, 0.2065, 1.0),
        ("two", *policy, "pick", 2, 1, 0.5, 0.0945, 0.9055),
    ]


def test_calibration_outcomes(store: Store) -> None:
    rows = store.query(
        """SELECT run_id, plan, attempts, kept, rejected, rejection_rate, rejections
           FROM calibration_outcomes WHERE run_id IN ('one', 'two') ORDER BY run_id, plan"""
    )[1]
    assert rows == [
        ("one", "expert_suffix", 2, 1, 1, 0.5, {"repair_failed": 1}),
        ("one", "planner", 3, 0, 3, 1.0, {"repair_failed": 2, "no_plan": 1}),
        ("two", "expert_suffix", 1, 1, 0, 0.0, None),
    ]


def test_why_a_repair_was_rejected_is_kept_in_words_too(store: Store) -> None:
    sql = "SELECT rejection, rejection_detail FROM calibrations WHERE plan = 'planner' ORDER BY 2"
    assert store.query(sql)[1] == [
        ("repair_failed", "7 turns ran out before the goal"),
        ("repair_failed", "9 turns: all ran out"),
        ("no_plan", "the expert knows no way on"),
    ]


def test_recovery_after_invalid(store: Store) -> None:
    rows = store.query(
        """SELECT run_id, episodes, met_invalid, recovered, round(rate, 4), round(low, 4), round(high, 4)
           FROM recovery_after_invalid WHERE run_id IN ('one', 'two') ORDER BY 1"""
    )[1]
    assert rows == [("one", 4, 3, 2, 0.6667, 0.2077, 0.9385), ("two", 3, 2, 1, 0.5, 0.0945, 0.9055)]


def test_run_summary(store: Store) -> None:
    columns, rows = store.query(
        "SELECT * EXCLUDE (created_at, name) FROM run_summary WHERE run_id IN ('one', 'two') ORDER BY run_id"
    )
    one, two = (dict(zip(columns, row, strict=True)) for row in rows)
    nothing = dict.fromkeys(columns, 0)
    assert one == nothing | {
        "run_id": "one",
        "trajectories": 2,
        "rollouts": 3,
        "step_rewards": 2,
        "deviated": 1,
        "not_deviated": 1,
        "filtered": 1,
        "selected": 1,
        "calibrations_kept": 1,
        "calibrations_rejected": 4,
        "examples_calibrated": 1,
        "examples_expert": 2,
        "evaluations": 4,
    }
    assert two == nothing | {
        "run_id": "two",
        "trajectories": 1,
        "step_rewards": 2,
        "deviated": 1,
        "not_deviated": 1,
        "filtered": 1,
        "selected": 1,
        "calibrations_kept": 1,
        "evaluations": 3,
    }


def test_a_run_without_batches_is_in_the_summary(store: Store) -> None:
    assert store.query("SELECT trajectories, evaluations FROM run_summary WHERE run_id = 'empty'")[1] == [
        (0, 0)
    ]


def test_a_batch_used_in_two_rounds_counts_once_in_the_run(store: Store) -> None:
    assert store.query("SELECT trajectories FROM run_summary WHERE run_id = 'again'")[1] == [(1,)]
    sql = "SELECT round, count(*) FROM step_reward_gaps WHERE run_id = 'again' GROUP BY ALL ORDER BY 1"
    assert store.query(sql)[1] == [(1, 3), (2, 3)]


@pytest.mark.parametrize(("k", "n"), [(0, 5), (3, 5), (5, 5), (1, 1), (118, 300), (0, 1)])
def test_the_wilson_interval_is_scipys(store: Store, k: int, n: int) -> None:
    expected = binomtest(k, n).proportion_ci(0.95, method="wilson")
    ((low, high),) = store.query("SELECT wilson_low(?, ?), wilson_high(?, ?)", [k, n, k, n])[1]
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_no_trials_have_no_interval(store: Store) -> None:
    assert store.query("SELECT wilson_low(0, 0), wilson_high(0, 0)")[1] == [(None, None)]
