"""The agreement of a language model with rollouts, worked out by hand, and the preset judge in what_if."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

from flows.what_if import OtherRule, WhatIf
from storage.records import Record
from storage.shards import ShardStore
from storage.store import Store
from tests.support.store_rows import deviation, judgement, record_run, scored_turn

REWARDS = {"mode": "fixed", "rollouts": 5, "candidates": None}


def turn(number: int, gap: float | None, label: str | None, step: int = 1, task: str = "") -> list[Record]:
    """A comparison whose explored turn has this gap to a reference of .6 (None: no rollouts), and its label ("": it was
    not judged)."""
    name, task = f"{number:04}", task or f"task {number}"
    sides = (("r", 0.6, 5), ("x", 0.6 + gap, 5)) if gap is not None else (None, None)
    verdict = "filtered" if gap is None else "deviated" if gap < 0 else "not_deviated"
    row = deviation(
        name, verdict, *sides, task_id=task, step_index=step, explored_trajectory_id=f"run {name}"
    )
    judged = [judgement(name, label, f"run {name}", step, task_id=task)] if label != "" else []
    return [row, *judged]


def stored(root: Path, rows: list[Record], run: str = "one", **config: Any) -> Store:
    ref = ShardStore(root).write_batch(f"rewards-{run}", "b0", rows)
    record_run(root, run, ref, rewards=REWARDS, **config)
    store = Store(root)
    store.ingest()
    return store


def agreement(store: Store, run: str = "one") -> dict[str, Any]:
    columns, [row] = store.query("FROM judge_agreement WHERE run_id = $run", {"run": run})
    return dict(zip(columns, row, strict=True))


def several(counts: dict[tuple[float | None, str | None], int]) -> list[Record]:
    turns = [pair for pair, n in counts.items() for _ in range(n)]
    return [row for number, (gap, label) in enumerate(turns) for row in turn(number, gap, label)]


HAND = {
    (-0.4, "bad"): 12, (-0.2, "bad"): 3, (-0.2, "good"): 5,
    (0.0, "bad"): 4, (0.0, "good"): 6, (0.2, "good"): 10,
    (-0.4, None): 2, (None, "bad"): 7, (-0.6, ""): 9,
}  # fmt: skip
"""Of 40 turns with both, 20 are deviated, 15 of these bad; 20 are not, 4 of these bad. 2 have no usable label, 7 no
rollouts."""


def test_agreement_by_hand(tmp_path: Path) -> None:
    found = agreement(stored(tmp_path, several(HAND)))
    assert (found["n"], found["unusable"], found["agreed"], found["deviated"], found["bad"]) == (
        40,
        2,
        31,
        20,
        19,
    )
    assert found["agreement"] == pytest.approx(31 / 40)
    interval = binomtest(31, 40).proportion_ci(method="wilson")
    assert (found["agreement_low"], found["agreement_high"]) == pytest.approx((interval.low, interval.high))
    chance = (20 * 19 + 20 * 21) / 40**2
    assert found["kappa"] == pytest.approx((31 / 40 - chance) / (1 - chance))
    assert (found["bad_of_deviated"], found["bad_of_not_deviated"]) == pytest.approx((15 / 20, 4 / 20))
    assert (found["model"], found["not_comparable"]) == ("gpt-4o", 7)


Sides = tuple[tuple[float, int] | None, tuple[float, int] | None]


def of_counts(number: int, sides: Sides, label: str | None) -> list[Record]:
    """A judged turn whose reference and explored turn have these (mean, rollouts); None: no rollouts."""
    name = f"c{number}"
    reference, explored = (side and (f"{name}-{at}", *side) for at, side in zip("rx", sides, strict=True))
    row = deviation(
        name, "undecided", reference, explored, task_id=name, explored_trajectory_id=f"run {name}"
    )
    return [row, judgement(name, label, f"run {name}", task_id=name)]


SETTLED: dict[Sides, str] = {
    ((1.0, 5), (0.4, 5)): "deviated",
    ((0.4, 5), (0.4, 5)): "not_deviated",
    ((1.0, 4), (0.0, 2)): "deviated",  # at least 4 of 5 against at most 3 of 5
    ((0.0, 3), (1.0, 2)): "not_deviated",  # at most 2 of 5 against at least 2 of 5
    (
        (1.0, 0),
        (0.0, 1),
    ): "deviated",  # the reference ended the episode; at most 4 of 5 succeed after the turn
    ((0.0, 0), None): "not_deviated",  # nothing is less than 0
    ((0.5, 12), (0.25, 8)): "deviated",  # more than N
}
OPEN: list[Sides] = [
    ((1.0, 1), (0.0, 2)),
    ((1.0, 5), (1.0, 4)),
    ((0.6, 5), None),
    (None, (0.6, 5)),
    (None, None),
]
"""With N = 5, in the order of SETTLED."""


@pytest.mark.parametrize(("sides", "verdict"), SETTLED.items())
def test_a_verdict_that_missing_rollouts_cannot_change_counts(
    sides: Sides, verdict: str, tmp_path: Path
) -> None:
    store = stored(tmp_path, of_counts(1, sides, "bad"))
    assert store.query("SELECT verdict_by_means FROM judged_turns")[1] == [(verdict,)]
    found = agreement(store)
    assert (found["n"], found["not_comparable"]) == (1, 0)
    assert (found["bad"], found["deviated"]) == (1, verdict == "deviated")


def test_turns_whose_rollouts_leave_the_verdict_open_are_not_compared(tmp_path: Path) -> None:
    rows = [row for number, sides in enumerate(OPEN) for row in of_counts(number, sides, "bad")]
    more = [*of_counts(100, OPEN[0], None), *of_counts(101, ((1.0, 5), (0.4, 5)), None)]
    store = stored(tmp_path, [*rows, *more, *turn(1, -0.4, "bad"), *turn(2, 0.0, "bad")])
    found = agreement(store)
    assert (found["n"], found["not_comparable"], found["unusable"]) == (2, len(OPEN), 1)
    assert (found["agreed"], found["bad"], found["deviated"]) == (1, 2, 1)
    assert store.query("SELECT sum(n) FROM judge_agreement_by_gap")[1] == [(2,)]
    open_ones = "SELECT count(*) FROM judged_turns WHERE verdict_by_means IS NULL"
    assert store.query(open_ones)[1] == [(len(OPEN) + 1,)]


def test_a_run_without_any_settled_comparison_still_has_its_row(tmp_path: Path) -> None:
    found = agreement(stored(tmp_path, of_counts(1, OPEN[0], "good")))
    assert (found["n"], found["not_comparable"], found["agreement"], found["kappa"]) == (0, 1, None, None)


def test_share_of_bad_by_gap(tmp_path: Path) -> None:
    store = stored(tmp_path, several(HAND | {(0.4, "bad"): 1, (-0.6, "good"): 2}))
    sql = (
        "SELECT gap_from, gap_to, n, bad, bad_share, low, high FROM judge_agreement_by_gap ORDER BY gap_from"
    )
    rows = store.query(sql)[1]
    assert [row[:4] for row in rows] == [
        (-0.6, -0.4, 2, 0), (-0.4, -0.2, 12, 12), (-0.2, 0.0, 8, 3), (0.0, 0.2, 10, 4), (0.2, 0.4, 10, 0),
        (0.4, 0.6, 1, 1),
    ]  # fmt: skip
    interval = binomtest(3, 8).proportion_ci(method="wilson")
    assert rows[2][4:] == pytest.approx((3 / 8, interval.low, interval.high))


@pytest.mark.parametrize(
    ("counts", "kappa"),
    [
        ({(-0.2, "bad"): 9, (0.2, "good"): 7}, 1.0),  # a perfect judge
        ({(-0.2, "good"): 8, (0.2, "bad"): 8}, -1.0),  # one that says the opposite
        ({(-0.2, "bad"): 6, (0.2, "bad"): 10}, 0.0),  # one that calls all turns bad
        ({(-0.2, "bad"): 5}, None),  # both call all turns the same
    ],
)
def test_judges_at_the_ends(counts: Any, kappa: float | None, tmp_path: Path) -> None:
    assert agreement(stored(tmp_path, several(counts)))["kappa"] == pytest.approx(kappa)


def test_a_judge_that_draws_lots_agrees_by_chance_only(tmp_path: Path) -> None:
    draw = random.Random(1)
    rows = [
        row
        for number in range(600)
        for row in turn(number, draw.choice((-0.4, 0.2)), "bad" if draw.random() < 0.8 else "good")
    ]
    found = agreement(stored(tmp_path, rows))
    assert abs(found["kappa"]) < 0.1
    assert found["bad_of_deviated"] == pytest.approx(found["bad_of_not_deviated"], abs=0.1)


def test_only_judgements_of_the_same_run_and_turn_count(tmp_path: Path) -> None:
    stored(tmp_path, [*several({(-0.2, "bad"): 3}), judgement("other step", "good", "run 0000", 2)])
    unjudged = [row for row in several({(-0.2, ""): 3}) if row.table == "deviations"]
    again = [row.model_copy(update={"delta": 0.1, "deviation_id": f"b{i}"}) for i, row in enumerate(unjudged)]
    store = stored(tmp_path, [*again], "two")
    assert agreement(store)["n"] == 3
    assert store.query("SELECT count(*) FROM judged_turns WHERE run_id = 'two'")[1] == [(0,)]
    assert store.query("SELECT count(*) FROM judgements")[1] == [(4,)]


TASK = [
    *turn(1, 0.2, "good", 1, "a"), *turn(2, -0.4, "bad", 2, "a"), *turn(3, 0.0, "bad", 3, "a"),
    *turn(4, -0.4, None, 1, "b"), *turn(5, -0.4, "", 2, "b"), *turn(6, None, "bad", 3, "b"),
]  # fmt: skip
"""Two tasks of three turns."""


def test_what_if_knows_the_preset_where_judgements_are_stored(tmp_path: Path) -> None:
    store = stored(tmp_path, [*TASK, scored_turn("r", "expert")])
    wanted = [
        ("0001", "not_deviated", "judged good", False),
        ("0002", "deviated", "judged bad", True),
        ("0003", "deviated", "judged bad", False),  # not the first of its task
        ("0004", "undecided", "no usable judgement", False),
        ("0005", "undecided", "not judged", False),
        ("0006", "deviated", "judged bad", True),  # without rollouts
    ]
    new = "SELECT deviation_id, new_verdict, new_rule, new_selected"
    assert store.query(f"{new} FROM what_if('one', preset := 'judge') ORDER BY 1")[1] == wanted
    found = WhatIf(store, "one", OtherRule("judge"))
    assert found.ask(f"{new} FROM considered ORDER BY 1")[1] == wanted
    assert found.mode() == "fixed"
    assert found.deviations().enter == 1


def test_what_if_keeps_filters_and_the_limit_of_candidates(tmp_path: Path) -> None:
    rows = [row for row in TASK if getattr(row, "task_id", "") == "a"]
    ref = ShardStore(tmp_path).write_batch("rewards-1", "b0", rows)
    record_run(tmp_path, "one", ref, rewards=REWARDS | {"candidates": 2})
    store = Store(tmp_path)
    store.ingest()
    sql = "SELECT new_verdict, new_rule FROM what_if('one', preset := 'judge') ORDER BY deviation_id"
    assert store.query(sql)[1][2] == ("filtered", "beyond rewards.candidates")


def test_without_judgements_what_if_says_so(tmp_path: Path) -> None:
    store = stored(tmp_path, several({(-0.4, ""): 3}))
    sql = "SELECT DISTINCT new_verdict, new_rule FROM what_if('one', preset := 'judge')"
    assert store.query(sql)[1] == [("undecided", "not judged")]
