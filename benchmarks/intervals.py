"""Intervals for the benchmarks' tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from steca.rewards import wilson_interval

RESAMPLES = 4000


def mean_interval(outcomes: Sequence[bool]) -> tuple[float, float, float]:
    """Success rate with its 95 % Wilson interval; NaN if there are no outcomes."""
    if not outcomes:
        return float("nan"), float("nan"), float("nan")
    return sum(outcomes) / len(outcomes), *wilson_interval(sum(outcomes), len(outcomes))


def difference(
    seeds: Sequence[tuple[Mapping[str, bool], Mapping[str, bool]]],
) -> tuple[float, float, float]:
    """Mean of (first - second) over the tasks that both played, with equal weight for each seed, and its 95 % bootstrap
    interval. It resamples seeds, and tasks within each seed, so that the variance between trainings counts."""
    pairs = [np.array([float(a[task]) - float(b[task]) for task in a if task in b]) for a, b in seeds]
    draw = np.random.default_rng(0)
    means = [
        np.mean(
            [draw.choice(pairs[i], len(pairs[i])).mean() for i in draw.integers(len(pairs), size=len(pairs))]
        )
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(np.mean([pair.mean() for pair in pairs])), float(low), float(high)
