"""The views of success, and the interval of a difference of paired shares."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from flows.summary.success import success_table
from steca.rewards import wilson_interval
from storage.shards import ShardStore
from storage.store import Store
from tests.support.store_rows import evaluation, record_run, trajectory

PLAYED = {  # start: (task, won by the warm-up policy, by the trained one); None: it did not play the task
    "task": (("a", 1, 1), ("b", 0, 1), ("c", 0, 1), ("d", 1, 0), ("e", 0, 0), ("f", 1, None), ("g", None, 1)),
    "forced_deviation": (("a", 0, 1),),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The episodes of PLAYED, in two rounds; in the second the trained policy loses what it won from the start."""
    root = tmp_path_factory.mktemp("success")
    shards = ShardStore(root)
    warmup = shards.write_batch("warmup", "b0", episodes("warmup", "w", 1))
    trained = [
        shards.write_batch(f"round-{n}", "b0", episodes("trained", f"t{n}", 2, n == 2)) for n in (1, 2)
    ]
    for number, batch in enumerate(trained, 1):
        record_run(root, "run", warmup, batch, round=number)
    record_run(root, "half", warmup)
    store = Store(root)
    store.ingest()
    return store


def episodes(role: str, checkpoint: str, column: int, loses: bool = False) -> list:
    return [
        evaluation(
            f"{role}-{checkpoint}-{start}-{row[0]}", "pick", bool(row[column]) and not (loses and start == "task"),
            role=role, checkpoint=checkpoint, start=start, task_id=row[0], split="seen",
        )
        for start, rows in PLAYED.items()
        for row in rows
        if row[column] is not None
    ]  # fmt: skip


def test_mean_rewards_stand_beside_success(tmp_path: Path) -> None:
    """Where rewards are only 0 and 1 they are the rate, and the table leaves them out."""
    played = [("won", 1.0, True), ("half", 0.5, False), ("lost", 0.0, False), ("binary", 1.0, True)]
    rows: list[Any] = []
    for name, outcome, won in played:
        rows.append(trajectory(name).model_copy(update={"outcome": outcome, "success": won}))
        split = "unseen" if name == "binary" else "seen"
        rows.append(evaluation(f"e-{name}", "pick", won, task_id=name, trajectory_id=name, split=split))
    record_run(tmp_path, "run", ShardStore(tmp_path).write_batch("evaluate", "b0", rows))
    graded = Store(tmp_path)
    graded.ingest()
    sql = "SELECT split, rate, reward, reward_low, reward_high FROM success ORDER BY split"
    low, high = wilson_interval(1.5, 3)
    [seen, unseen] = graded.query(sql)[1]
    assert seen == ("seen", pytest.approx(1 / 3), 0.5, pytest.approx(low), pytest.approx(high))
    assert unseen[1:3] == (1.0, 1.0)
    table = success_table(graded, "run")
    assert table.right == ("episodes", "won", "rate", "interval", "mean reward", "interval")
    assert [row[7] for row in table.rows] == ["0.500", "1.000"]


def test_a_table_of_wins_alone_has_no_rewards(store: Store) -> None:
    assert success_table(store, "run").right == ("episodes", "won", "rate", "interval")


def test_success_is_by_policy_split_and_start(store: Store) -> None:
    sql = """SELECT round, split, start, role, checkpoint, n, successes, rate, round(low, 6), round(high, 6)
             FROM success WHERE run_id = 'run'"""

    def row(round: int, start: str, role: str, checkpoint: str, won: int, n: int) -> tuple[object, ...]:
        low, high = (float(f"{end:.6f}") for end in wilson_interval(won, n))
        return (round, "seen", start, role, checkpoint, n, won, won / n, low, high)

    assert store.query(sql)[1] == [
        row(1, "beginning", "warmup", "w", 3, 6),
        row(1, "beginning", "trained", "t1", 4, 6),
        row(1, "after_deviation", "warmup", "w", 0, 1),
        row(1, "after_deviation", "trained", "t1", 1, 1),
        row(2, "beginning", "warmup", "w", 3, 6),
        row(2, "beginning", "trained", "t2", 0, 6),
        row(2, "after_deviation", "warmup", "w", 0, 1),
        row(2, "after_deviation", "trained", "t2", 1, 1),
    ]


def test_the_change_is_over_the_tasks_that_both_played(store: Store) -> None:
    sql = "SELECT * EXCLUDE (run_id, split) FROM success_change WHERE run_id = 'run'"
    rows = store.query(sql)[1]
    assert [row[:10] for row in rows] == [
        (1, "beginning", 5, 1, 1, 2, 1, 0.4, 0.6, 0.2),
        (1, "after_deviation", 1, 0, 0, 1, 0, 0.0, 1.0, 1.0),
        (2, "beginning", 5, 0, 2, 0, 3, 0.4, 0.0, -0.4),
        (2, "after_deviation", 1, 0, 0, 1, 0, 0.0, 1.0, 1.0),
    ]
    for *_, n, both, lost, gained, _, _, _, _, low, high in rows:
        assert (low, high) == pytest.approx(newcombe(n, both + lost, both + gained, both), abs=1e-12)
    assert store.query("FROM success_change WHERE run_id = 'half'")[1] == []


def test_the_change_by_task_type_sums_up_to_the_change(tmp_path: Path) -> None:
    played = [("a", "pick", False, True), ("b", "pick", True, True), ("c", "heat", True, False)]
    rows = [
        evaluation(f"{role}-{name}", kind, won, role=role, checkpoint=role, task_id=name)
        for name, kind, *wins in played
        for role, won in zip(("warmup", "trained"), wins, strict=True)
    ]
    alone = evaluation("alone", "cool", True, task_id="d")
    record_run(tmp_path, "run", ShardStore(tmp_path).write_batch("evaluate", "b0", [*rows, alone]))
    kinds = Store(tmp_path)
    kinds.ingest()
    pairs = kinds.query("SELECT task_id, warmup_won, trained_won FROM paired_evaluations ORDER BY task_id")[1]
    assert pairs == [("a", False, True), ("b", True, True), ("c", True, False)]
    counts = "n, both_won, only_warmup_won, only_trained_won, neither_won, change"
    assert kinds.query(f"SELECT task_type, {counts} FROM success_change_by_task_type")[1] == [
        ("heat", 1, 0, 1, 0, 0, -1.0),
        ("pick", 2, 1, 0, 1, 0, 0.5),
    ]
    assert kinds.query(f"SELECT {counts} FROM success_change")[1] == [(3, 1, 1, 1, 0, 0.0)]
    [(low, high)] = kinds.query("SELECT low, high FROM success_change_by_task_type WHERE task_type = 'pick'")[
        1
    ]
    assert (low, high) == pytest.approx(newcombe(2, 1, 2, 1))


def newcombe(n: int, first: int, second: int, shared: int) -> tuple[float, float]:
    """Newcombe's method 10, written out as in the paper: theta = second/n - first/n from a, b, c, d."""
    a, b, c, d = shared, second - shared, first - shared, n - first - second + shared
    margins = (a + b) * (c + d) * (a + c) * (b + d)
    above = a * d - b * c
    if above > 0:
        above = max(above - n / 2, 0)
    phi = above / math.sqrt(margins) if margins else 0.0
    (l1, u1), (l2, u2) = wilson_interval(a + b, n), wilson_interval(a + c, n)
    p1, p2 = (a + b) / n, (a + c) / n
    delta = math.sqrt((p1 - l1) ** 2 - 2 * phi * (p1 - l1) * (u2 - p2) + (u2 - p2) ** 2)
    epsilon = math.sqrt((u1 - p1) ** 2 - 2 * phi * (u1 - p1) * (p2 - l2) + (p2 - l2) ** 2)
    return p1 - p2 - delta, p1 - p2 + epsilon


def tables(n: int) -> list[tuple[int, int, int]]:
    """(first, second, shared) of every outcome of n pairs."""
    cells = [(a, b, c) for a, b, c in product(range(n + 1), repeat=3) if a + b + c <= n]
    return [(a + c, a + b, a) for a, b, c in cells]


def intervals(store: Store, n: int) -> dict[tuple[int, int, int], tuple[float, float]]:
    """What the macros say of every outcome of n pairs."""
    first, second, shared = (list(column) for column in zip(*tables(n), strict=True))
    sql = """SELECT first, second, shared, paired_low($n, first, second, shared), paired_high($n, first, second, shared)
             FROM (SELECT unnest($a) AS first, unnest($b) AS second, unnest($c) AS shared)"""
    rows = store.query(sql, {"n": n, "a": first, "b": second, "c": shared})[1]
    return {row[:3]: row[3:] for row in rows}


@pytest.mark.parametrize("n", [1, 2, 7, 25])
def test_the_paired_interval_is_newcombes(store: Store, n: int) -> None:
    for (first, second, shared), found in intervals(store, n).items():
        assert found == pytest.approx(newcombe(n, first, second, shared), abs=1e-12)
        low, high = found
        assert -1 <= low <= (second - first) / n <= high <= 1


@pytest.mark.parametrize("chances", [(0.3, 0.3, 0.1), (0.1, 0.3, 0.02), (0.6, 0.1, 0.1), (0.05, 0.1, 0.01)])
def test_the_paired_interval_holds_the_truth_as_often_as_it_says(
    store: Store, chances: tuple[float, float, float]
) -> None:
    """Exactly: the chance of every outcome of 40 pairs, by the chances of both won, only the second, only the first."""
    both, second, first = chances
    n, covered = 40, 0.0
    for (w1, w2, shared), (low, high) in intervals(store, n).items():
        counts = (shared, w2 - shared, w1 - shared, n - w1 - w2 + shared)
        chance = math.factorial(n) * math.prod(
            p**k / math.factorial(k)
            for p, k in zip((both, second, first, 1 - both - second - first), counts, strict=True)
        )
        covered += chance * (low <= second - first <= high)
    assert 0.935 < covered < 0.99


def test_no_tasks_have_no_interval(store: Store) -> None:
    assert store.query("SELECT paired_low(0, 0, 0, 0), paired_high(0, 0, 0, 0)")[1] == [(None, None)]
