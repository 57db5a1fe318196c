"""The figures of a comparison: rates with intervals, paired differences, success by the expert's length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean
from typing import TypeVar

from flows.compare.results import AFTER, BEFORE, BEGINNING, Episode, Measure, Results, SetSize, StageCost
from steca.paired import Difference, paired_difference, pooled_interval
from storage.comparisons import ArmDifference

BINS = 3
R = TypeVar("R", SetSize, StageCost)


@dataclass(frozen=True)
class Share:
    """A success rate or mean reward with its 95 % interval (`steca.paired.pooled_interval`), pooled over seeds, and
    that of each seed. The interval leaves out the variance between seeds."""

    n: int
    rate: float
    low: float
    high: float
    by_seed: dict[int, float]


def share(episodes: Iterable[Episode], measure: Measure = "success") -> Share | None:
    """None where there are no episodes."""
    by_seed: dict[int, list[float]] = {}
    by_task: dict[str, list[float]] = {}
    for episode in episodes:
        by_seed.setdefault(episode.seed, []).append(episode.value(measure))
        by_task.setdefault(episode.task_id, []).append(episode.value(measure))
    won, n = sum(map(sum, by_seed.values())), sum(map(len, by_seed.values()))
    if not n:
        return None
    means = {seed: fmean(by_seed[seed]) for seed in sorted(by_seed)}
    return Share(n, won / n, *pooled_interval(by_task), means)


def cells(results: Results) -> list[tuple[str, str]]:
    """The (split, start) pairs that were tested, in the order of tables."""
    there = {(episode.split, episode.start) for episode in results.episodes}
    return [
        (split, start)
        for start in (BEGINNING, AFTER, BEFORE)
        for split in results.splits
        if (split, start) in there
    ]


def rate(results: Results, row: str, split: str, start: str, measure: Measure = "success") -> Share | None:
    """Success, or the mean reward, of one row of the tables."""
    return share(_cell(results, row, split, start), measure)


def difference(
    results: Results, row: str, split: str, start: str, measure: Measure = "success"
) -> Difference | None:
    """That of a row minus that of the reference, on the tasks and seeds that both have."""
    own, other = (
        _outcomes(_cell(results, arm, split, start), measure) for arm in (row, results.header.reference)
    )
    return paired_difference([(own[seed], other[seed]) for seed in sorted(own.keys() & other.keys())])


def differences(results: Results) -> list[ArmDifference]:
    """All paired differences of a comparison, as the store has them: of success and, where rewards are graded, of the
    mean reward."""
    found = []
    measures: Sequence[Measure] = ("success", "reward") if results.graded else ("success",)
    for (split, start), row, measure in product(cells(results), results.rows, measures):
        if row == results.header.reference:
            continue
        if paired := difference(results, row, split, start, measure):
            found.append(
                ArmDifference(
                    arm=row,
                    split=split,
                    start=start,
                    measure=measure,
                    seeds=tuple(sorted(_seeds(results, row) & _seeds(results, results.header.reference))),
                    pairs=paired.pairs,
                    difference=paired.mean,
                    low=paired.low,
                    high=paired.high,
                )
            )
    return found


def _cell(results: Results, row: str, split: str, start: str) -> Iterator[Episode]:
    return (e for e in results.episodes if (e.arm, e.split, e.start) == (row, split, start))


def _outcomes(episodes: Iterable[Episode], measure: Measure) -> dict[int, dict[str, float]]:
    """By seed and task. Tasks of two splits are never the same."""
    found: dict[int, dict[str, float]] = {}
    for episode in episodes:
        found.setdefault(episode.seed, {})[episode.task_id] = episode.value(measure)
    return found


def _seeds(results: Results, row: str) -> set[int]:
    return {episode.seed for episode in results.episodes if episode.arm == row}


@dataclass(frozen=True)
class Bin:
    """Tasks by the length of the expert's run: from `low` to `high` steps."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.low} steps" if self.low == self.high else f"{self.low} to {self.high} steps"


def length_bins(results: Results) -> list[Bin]:
    """Up to three bins with about as many episodes each, the same for all arms. Episodes from the beginning only."""
    lengths = sorted(
        e.expert_steps for e in results.episodes if e.start == BEGINNING and e.expert_steps is not None
    )
    if not lengths:
        return []
    tops = sorted({lengths[len(lengths) * part // BINS - 1] for part in range(1, BINS + 1)})
    lows = [lengths[0], *(next(n for n in lengths if n > top) for top in tops[:-1])]
    return [Bin(low, high) for low, high in zip(lows, tops, strict=True)]


def by_length(results: Results, row: str, lengths: Bin) -> Share | None:
    """Success from the beginning, over all splits, on tasks that the expert solves in so many steps."""
    return share(
        e
        for e in results.episodes
        if e.arm == row and e.start == BEGINNING and e.expert_steps is not None
        if lengths.low <= e.expert_steps <= lengths.high
    )


def recovery(results: Results, row: str) -> Share | None:
    """Success of the episodes from the beginning that met an invalid action, over all splits."""
    return share(e for e in results.episodes if e.arm == row and e.start == BEGINNING and e.invalid_actions)


def set_sizes(results: Results, arm: str) -> dict[str, float]:
    """The mean number of examples in each part of an arm's training set, over its seeds."""
    own = [size for size in results.header.sets if size.arm == arm]
    return _means(own, len(_seeds(results, arm)), lambda size: {size.dataset: size.examples})


def costs(results: Results, arm: str) -> dict[str, float]:
    """What making an arm's training set and training on it cost, the mean over its seeds. Only stages that it needs.
    `minutes` is missing where the store does not know the time of a stage."""
    own = [cost for cost in results.header.costs if cost.arm == arm and cost.needed]
    found = _means(own, len(_seeds(results, arm)), _cost)
    if any(cost.seconds is None for cost in own):
        del found["minutes"]
    return found


def _cost(cost: StageCost) -> dict[str, float]:
    return {
        "rollouts": cost.episodes if cost.stage == "rewards" else 0,
        "reflections": cost.reflections,
        "tokens": cost.tokens,
        "language-model tokens": cost.llm_tokens,
        "minutes": (cost.seconds or 0.0) / 60,
    }


def _means(rows: Sequence[R], seeds: int, figures: Callable[[R], dict[str, float]]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for row in rows:
        for name, value in figures(row).items():
            sums[name] = sums.get(name, 0.0) + value
    return {name: total / seeds for name, total in sums.items()} if seeds else {}
