"""How much better one policy is than another on the same tasks, over several trainings (seeds).

The difference is the mean over seeds of the mean difference over a seed's tasks: every seed counts the same. Its
interval is a bootstrap in two stages (seeds with replacement, then tasks within each drawn seed), so that both the
choice of tasks and the variance between trainings count. A task that several seeds played is drawn for all of them
together, because its outcomes are no independent observations of what tasks are like (as in Owen, "The pigeonhole
bootstrap", Annals of Applied Statistics 1, 2007). With one seed only the choice of tasks counts. With few seeds the
interval is too narrow: three seeds say little about the variance between trainings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from steca.rewards import wilson_interval

Floats = npt.NDArray[np.float64]
RESAMPLES = 4000


@dataclass(frozen=True)
class Difference:
    """A mean paired difference with its 95 % bootstrap interval, and the pairs behind it."""

    mean: float
    low: float
    high: float
    pairs: int
    seeds: int


def paired_difference(
    seeds: Sequence[tuple[Mapping[str, float], Mapping[str, float]]],
) -> Difference | None:
    """The mean of (first - second), with an outcome by task id for each side of each seed. Only tasks that both sides
    played count; None where there is no such task."""
    found = [_differences(first, second) for first, second in seeds]
    pairs = [differences for differences in found if differences]
    if not pairs:
        return None
    played = Counter(task for differences in pairs for task in differences)
    random = np.random.default_rng(0)  # the same interval every time that it is printed
    drawn = random.integers(len(pairs), size=(RESAMPLES, len(pairs)))
    sums = _sums_of_shared(pairs, {task for task, times in played.items() if times > 1}, random)
    means = np.empty(drawn.shape)
    for seed, differences in enumerate(pairs):
        here = drawn == seed
        own = np.array([value for task, value in differences.items() if played[task] == 1])
        total = sums[np.nonzero(here)[0], seed] + _resampled_sums(own[:, None], int(here.sum()), random)[:, 0]
        means[here] = total / len(differences)
    low, high = np.quantile(means.mean(axis=1), [0.025, 0.975])
    mean = float(np.mean([np.mean(list(differences.values())) for differences in pairs]))
    return Difference(mean, float(low), float(high), sum(map(len, pairs)), len(pairs))


def pooled_interval(outcomes: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    """The 95 % Wilson interval of a mean outcome in [0, 1], with the outcomes of each task by its id; (0, 1) without
    any. It is conservative where outcomes lie between 0 and 1 (steca.rewards.wilson_interval).

    Where a task was played several times (by the trainings of several seeds), n counts for less: it is divided by the
    design effect, the variance of the rate over tasks by that of independent outcomes (Kish, "Survey Sampling", 1965).
    """
    n, won = sum(map(len, outcomes.values())), float(sum(map(sum, outcomes.values())))
    if n == len(outcomes):
        return wilson_interval(won, n)
    rate = won / n
    spread = sum((sum(tries) - len(tries) * rate) ** 2 for tries in outcomes.values())
    binomial = n * rate * (1 - rate)
    effect = max(1.0, spread / binomial) if binomial else n / len(outcomes)
    return wilson_interval(won / effect, n / effect)


def _differences(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    """The difference of each task that both sides played."""
    return {task: float(first[task]) - float(second[task]) for task in first if task in second}


def _sums_of_shared(
    pairs: Sequence[Mapping[str, float]], shared: set[str], random: np.random.Generator
) -> Floats:
    """The sums of each seed over resamples of the tasks that it shares with others, shape (RESAMPLES, seeds). Tasks of
    the same seeds are drawn together, so that every seed keeps its number of tasks."""
    sums = np.zeros((RESAMPLES, len(pairs)))
    by_seeds: dict[tuple[int, ...], list[list[float]]] = {}
    for task in sorted(shared):
        seeds = tuple(seed for seed, differences in enumerate(pairs) if task in differences)
        by_seeds.setdefault(seeds, []).append([pairs[seed][task] for seed in seeds])
    for seeds, values in by_seeds.items():
        sums[:, seeds] += _resampled_sums(np.array(values), RESAMPLES, random)
    return sums


def _resampled_sums(values: Floats, times: int, random: np.random.Generator) -> Floats:
    """The sums of `times` resamples of the rows of `values`, shape (times, columns). Drawn as counts of each distinct
    row, which is the same distribution: paired outcomes have few, whatever the number of tasks."""
    if not len(values):
        return np.zeros((times, 1))
    distinct, counts = np.unique(values, axis=0, return_counts=True)
    drawn = random.multinomial(len(values), counts / len(values), size=times)
    return np.asarray(drawn @ distinct)
