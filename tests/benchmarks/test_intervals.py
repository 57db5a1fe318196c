"""The learning benchmark's intervals."""

from __future__ import annotations

import math
import random

from benchmarks.intervals import difference, mean_interval


def outcomes(rate: float, seed: int, tasks: int = 200) -> dict[str, bool]:
    draw = random.Random(seed)
    return {f"task {number}": draw.random() < rate for number in range(tasks)}


def test_no_difference_is_zero_and_a_full_one_is_one() -> None:
    same = outcomes(0.4, 1)
    assert difference([(same, same)] * 3) == (0.0, 0.0, 0.0)
    assert difference([(dict.fromkeys(same, True), dict.fromkeys(same, False))]) == (1.0, 1.0, 1.0)


def test_the_interval_holds_the_mean_and_tells_a_real_difference_from_none() -> None:
    better = [(outcomes(0.6, seed), outcomes(0.4, 10 + seed)) for seed in range(3)]
    equal = [(outcomes(0.5, seed), outcomes(0.5, 10 + seed)) for seed in range(3)]
    mean, low, high = difference(better)
    assert 0 < low < mean < high
    _, low, high = difference(equal)
    assert low < 0 < high


def test_seeds_that_disagree_widen_the_interval() -> None:
    agree = [(outcomes(0.5, seed), outcomes(0.4, 10 + seed)) for seed in range(4)]
    disagree = [
        (outcomes(rate, seed), outcomes(0.4, 10 + seed)) for seed, rate in enumerate((0.2, 0.4, 0.6, 0.8))
    ]
    width = [high - low for _, low, high in map(difference, (agree, disagree))]
    assert width[1] > 1.5 * width[0]


def test_tasks_that_only_one_side_played_do_not_count() -> None:
    assert difference([({"a": True, "b": True}, {"a": False})])[0] == 1.0


def test_nothing_measured_is_not_a_rate() -> None:
    assert all(map(math.isnan, mean_interval([])))
    assert mean_interval([True, False])[0] == 0.5
