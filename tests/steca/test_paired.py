"""Paired differences over seeds and tasks, against cases worked out by hand."""

from __future__ import annotations

import random

import numpy as np
import pytest

from steca.paired import Difference, paired_difference, pooled_interval
from steca.rewards import wilson_interval


def outcomes(rate: float, seed: int, tasks: int = 200) -> dict[str, float]:
    draw = random.Random(seed)
    return {f"task {number}": float(draw.random() < rate) for number in range(tasks)}


def found(seeds: list[tuple[dict[str, float], dict[str, float]]]) -> Difference:
    difference = paired_difference(seeds)
    assert difference is not None
    return difference


def test_equal_arms_differ_by_nothing_and_opposite_ones_by_everything() -> None:
    same = outcomes(0.4, 1)
    assert found([(same, same)] * 3) == Difference(0.0, 0.0, 0.0, 600, 3)
    opposite = (dict.fromkeys(same, 1.0), dict.fromkeys(same, 0.0))
    assert found([opposite]) == Difference(1.0, 1.0, 1.0, 200, 1)


def test_with_one_seed_the_interval_is_that_of_resampled_tasks() -> None:
    """Differences 1, 1, 1, 0: a resample of four holds k ones with the binomial chance of k in 4 at 3/4. At most none:
    .004, at most one: .051, all four: .316. So the 2.5 % quantile of the mean is 1/4, and the 97.5 % quantile 1."""
    difference = found([({"a": 1, "b": 1, "c": 1, "d": 1}, {"a": 0, "b": 0, "c": 0, "d": 1})])
    assert difference == Difference(0.75, 0.25, 1.0, 4, 1)


def test_seeds_are_resampled_too() -> None:
    """Two seeds without any variance between their tasks: a quarter of the resamples holds only the one, a quarter only
    the other. So the interval reaches from one to the other."""
    won, lost = {"a": 1.0, "b": 1.0}, {"a": 0.0, "b": 0.0}
    difference = found([(won, lost), (lost, lost)])
    assert (difference.mean, difference.low, difference.high) == (0.5, 0.0, 1.0)


def test_each_seed_counts_the_same_however_many_tasks_it_has() -> None:
    few, many = {"a": 1.0}, {f"task {n}": 0.0 for n in range(99)}
    assert found([(few, {"a": 0.0}), (many, many)]).mean == 0.5


def test_the_interval_holds_the_mean_and_tells_a_real_difference_from_none() -> None:
    better = found([(outcomes(0.6, seed), outcomes(0.4, 10 + seed)) for seed in range(3)])
    equal = found([(outcomes(0.5, seed), outcomes(0.5, 10 + seed)) for seed in range(3)])
    assert 0 < better.low < better.mean < better.high
    assert equal.low < 0 < equal.high


def test_seeds_that_disagree_widen_the_interval() -> None:
    agree = found([(outcomes(0.5, seed), outcomes(0.4, 10 + seed)) for seed in range(4)])
    rates = enumerate((0.2, 0.4, 0.6, 0.8))
    disagree = found([(outcomes(rate, seed), outcomes(0.4, 10 + seed)) for seed, rate in rates])
    assert disagree.high - disagree.low > 1.5 * (agree.high - agree.low)


def test_it_is_the_plain_bootstrap() -> None:
    """Counts of distinct values stand for the resamples: the same quantiles as drawing tasks one by one."""
    first, second = outcomes(0.55, 1, 60), outcomes(0.45, 2, 60)
    values = np.array([first[task] - second[task] for task in first])
    draw = np.random.default_rng(7)
    means = draw.choice(values, (20_000, len(values))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    difference = found([(first, second)])
    assert difference.low == pytest.approx(low, abs=0.02)
    assert difference.high == pytest.approx(high, abs=0.02)


def test_tasks_that_only_one_side_played_do_not_count() -> None:
    assert found([({"a": 1.0, "b": 1.0}, {"a": 0.0})]) == Difference(1.0, 1.0, 1.0, 1, 1)
    assert paired_difference([({"a": 1.0}, {"b": 1.0})]) is None
    assert paired_difference([]) is None


def test_a_task_that_several_seeds_played_is_drawn_for_all_of_them() -> None:
    """Three seeds with the very same outcomes tell no more than one of them. With tasks of their own they do."""
    first, second = outcomes(0.6, 1), outcomes(0.4, 2)
    one, three = found([(first, second)]), found([(first, second)] * 3)
    assert three.high - three.low == pytest.approx(one.high - one.low, abs=0.01)
    apart = [
        tuple({f"{seed} {task}": won for task, won in side.items()} for side in (first, second))
        for seed in range(3)
    ]
    own = found([(a, b) for a, b in apart])
    assert own.high - own.low < 0.75 * (three.high - three.low)


def test_shared_and_own_tasks_are_drawn_side_by_side() -> None:
    """A seed whose tasks do not vary has no variance, whatever the other one shares with it."""
    constant = dict.fromkeys(["a", "b", "c"], 1.0), dict.fromkeys(["a", "b", "c"], 0.0)
    partly = dict.fromkeys(["a", "b", "d", "e"], 1.0), dict.fromkeys(["a", "b", "d", "e"], 0.0)
    assert found([constant, partly]) == Difference(1.0, 1.0, 1.0, 7, 2)


def test_intervals_cover_where_all_seeds_play_the_same_tasks() -> None:
    """Tasks that are easy or hard for every training. The interval of a rate, and that of a difference with no training
    variance, hold the truth in about 95 % of the worlds; treating repeats as new tasks holds it in far fewer."""
    random, worlds, tasks, seeds = np.random.default_rng(1), 200, 60, 3
    rates = naive = differences = 0
    for _ in range(worlds):
        easy = random.choice([0.05, 0.95], tasks)
        harder = random.choice([0.05, 0.95], tasks)
        played = random.random((seeds, tasks)) < easy
        other = random.random((seeds, tasks)) < harder
        low, high = pooled_interval({str(task): played[:, task].tolist() for task in range(tasks)})
        rates += low <= 0.5 <= high
        low, high = wilson_interval(int(played.sum()), played.size)
        naive += low <= 0.5 <= high
        paired = found(
            [
                (
                    {str(t): float(won) for t, won in enumerate(a)},
                    {str(t): float(won) for t, won in enumerate(b)},
                )
                for a, b in zip(played, other, strict=True)
            ]
        )
        differences += paired.low <= 0.0 <= paired.high
    assert naive < 0.85 * worlds
    assert rates > 0.9 * worlds
    assert differences > 0.9 * worlds


def test_without_repeated_tasks_a_rate_has_the_wilson_interval() -> None:
    assert pooled_interval({"a": [True], "b": [False], "c": [True]}) == wilson_interval(2, 3)
    assert pooled_interval({}) == (0.0, 1.0)


def test_a_task_repeated_with_the_same_outcome_counts_once() -> None:
    assert pooled_interval({"a": [True] * 3, "b": [False] * 3}) == pytest.approx(wilson_interval(1, 2))
    assert pooled_interval({"a": [True] * 3, "b": [True] * 3}) == pytest.approx(wilson_interval(2, 2))
    assert pooled_interval({"a": [True, False], "b": [False, True]}) == wilson_interval(2, 4), (
        "never narrower"
    )
