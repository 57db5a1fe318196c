"""The sampling plan: which side of a comparison to sample next, and when a verdict is no longer worth its price.

Only `steca.evidence` decides whether a drop is proven. Its test is valid for any order of sampling and any stopping
time. So the order is free, and is chosen to prove the most drops per rollout: the Bayes-optimal sampling plan (Wald;
DeGroot, "Optimal Statistical Decisions", 1970, ch. 12) with reward 1 for a proven drop and a price for each rollout,
by backward induction over (outcomes and successes of either side),

    V(state) = max( 0, max over sides of  -price * (rollouts to the side's next look) + E V(next state) )

Predictions assume independent values with the prior Beta(1/2, 5/2): most are near 0, because the greedy run through
both turns failed, yet after one success the mean is .4. The prior was chosen on the quick start's mix
(`benchmarks.verdicts`): 46 rollouts per proven drop, 75 per drop of .2 or more, against 70 and 81 with Beta(1/2, 3/2).
A wrong prior costs rollouts or power, never validity.

Interim looks come after 1, 2, 3, ... outcomes of a side, later after every further quarter. A plan takes a tenth of a
second at 24 rollouts per side, one second at 250, and is cached.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, floor

import numpy as np
import numpy.typing as npt
from scipy import special

from steca.evidence import CELLS, cells, log_wealth_above, log_wealth_below
from steca.rewards import TIE, Tally

Table = npt.NDArray[np.float64]
Sides = npt.NDArray[np.int8]
PRIOR = (0.5, 2.5)


def looks(most: int) -> list[int]:
    """Numbers of outcomes at the interim looks of a side, from 0 to `most`."""
    at = [0]
    while at[-1] < most:
        at.append(min(most, at[-1] + max(1, at[-1] // 4)))
    return at


@dataclass(frozen=True, eq=False, slots=True)
class SamplingPlan:
    """At the sides' looks i and j: the values V[i][j][successes of the reference, of the explored turn], and the side
    to sample (0 none, 1 the reference, 2 the explored turn)."""

    looks: tuple[list[int], list[int]]
    values: list[list[Table]]
    sides: list[list[Sides]]

    def next(self, reference: Tally, explored: Tally) -> tuple[int, int]:
        """The numbers of outcomes that both sides should have next; the present ones if sampling should stop. A side
        that a budget left between two looks continues to the next one; a side with more outcomes than the plan's last
        look gets no more."""
        i, j, at = self._at(reference, explored)
        if self.looks[0][i] < reference.n < self.looks[0][-1]:
            return self.looks[0][i + 1], explored.n
        if self.looks[1][j] < explored.n < self.looks[1][-1]:
            return reference.n, self.looks[1][j + 1]
        side = int(self.sides[i][j][at])
        return (
            self.looks[0][i + 1] if side == 1 else reference.n,
            self.looks[1][j + 1] if side == 2 else explored.n,
        )

    def value(self, reference: Tally, explored: Tally) -> float:
        """V: the probability of a proven drop, less the expected price of its rollouts, in [0, 1]."""
        i, j, at = self._at(reference, explored)
        return float(self.values[i][j][at])

    @property
    def expected_rollouts(self) -> float:
        """Expected rollouts of a comparison from its start, under the prior."""
        made: dict[tuple[int, int], Table] = {}
        for i in reversed(range(len(self.looks[0]))):
            for j in reversed(range(len(self.looks[1]))):
                side, cost = self.sides[i][j], np.zeros(self.sides[i][j].shape)
                if i + 1 < len(self.looks[0]):
                    n, later = self.looks[0][i : i + 2]
                    cost = np.where(side == 1, later - n + _transition(n, later) @ made[i + 1, j], cost)
                if j + 1 < len(self.looks[1]):
                    n, later = self.looks[1][j : j + 2]
                    cost = np.where(side == 2, later - n + made[i, j + 1] @ _transition(n, later).T, cost)
                made[i, j] = cost
        return float(made[0, 0][0, 0])

    def _at(self, reference: Tally, explored: Tally) -> tuple[int, int, tuple[int, int]]:
        """The looks, and the integer successes nearest to the totals there. If partial outcomes round to a proof that
        does not exist, the nearest counts that prove less: an open comparison must not look closed."""
        i, j = bisect_right(self.looks[0], reference.n) - 1, bisect_right(self.looks[1], explored.n) - 1
        m, n = (
            tally.total * at[look] / max(tally.n, 1)
            for tally, at, look in ((reference, self.looks[0], i), (explored, self.looks[1], j))
        )
        counts = round(m), round(n)
        return i, j, (floor(m + TIE), ceil(n - TIE)) if self.values[i][j][counts] >= 1.0 else counts


@lru_cache(maxsize=64)
def plan(
    delta: float,
    error_rate: float,
    max_rollouts: int,
    price: float,
    reference_known: float | None = None,
    explored_known: float | None = None,
) -> SamplingPlan:
    """The plan for a drop below `delta`, with at most `max_rollouts` outcomes per side; `price` is that of a rollout in
    proven drops. A side with a known value is never sampled."""
    sides = [[0] if known is not None else looks(max_rollouts) for known in (reference_known, explored_known)]
    above = [_curves(log_wealth_above, n, reference_known) for n in sides[0]]
    below = [_curves(log_wealth_below, n, explored_known) for n in sides[1]]
    gap = int(np.floor(delta * CELLS + 1e-6))
    grid = [[np.empty(0)] * len(sides[1]) for _ in sides[0]]
    made = SamplingPlan(
        (sides[0], sides[1]), grid, [[np.empty(0, np.int8)] * len(sides[1]) for _ in sides[0]]
    )
    for i in reversed(range(len(sides[0]))):
        for j in reversed(range(len(sides[1]))):
            proven = _proven(above[i], below[j], gap, -np.log(error_rate))
            made.values[i][j], made.sides[i][j] = _best(made, i, j, proven, price)
    return made


def _best(
    made: SamplingPlan, i: int, j: int, proven: npt.NDArray[np.bool_], price: float
) -> tuple[Table, Sides]:
    """V and the side to sample, for every pair of successes at looks (i, j)."""
    value, side = np.zeros(proven.shape), np.zeros(proven.shape, np.int8)
    for number, look in ((1, i), (2, j)):
        at = made.looks[number - 1]
        if look + 1 == len(at):
            continue
        later = made.values[i + 1][j] if number == 1 else made.values[i][j + 1].T
        moved = _transition(at[look], at[look + 1]) @ later - price * (at[look + 1] - at[look])
        moved = moved if number == 1 else moved.T
        better = moved > value + 1e-12
        value, side = np.where(better, moved, value), np.where(better, number, side).astype(np.int8)
    return np.where(proven, 1.0, value), np.where(proven, 0, side).astype(np.int8)


@lru_cache(maxsize=1024)
def _transition(n: int, later: int) -> Table:
    """P(total successes after `later` outcomes | successes after n), [n + 1, later + 1]: beta-binomial."""
    seen, more = np.arange(n + 1)[:, None], np.arange(later - n + 1)[None]
    a, b = seen + PRIOR[0], n - seen + PRIOR[1]
    ways = -special.betaln(later - n - more + 1, more + 1) - np.log(later - n + 1)
    chances = np.exp(ways + special.betaln(a + more, b + later - n - more) - special.betaln(a, b))
    table = np.zeros((n + 1, later + 1))
    np.put_along_axis(table, seen + more, chances, axis=1)
    return table


def _curves(wealth: Callable[[Tally], Table], n: int, known: float | None) -> Table:
    """The wealth curves for every number of successes, [n + 1, CELLS + 1]; one row for a known value."""
    if known is not None:
        return np.stack([wealth(Tally(known=known))])
    return np.stack([wealth(Tally(n, s)) for s in range(n + 1)])


def _proven(above: Table, below: Table, gap: int, needed: float) -> npt.NDArray[np.bool_]:
    """Whether explored - reference >= gap is rejected, for every pair of rows. More successes of the explored turn
    never prove more, so bisection finds for each row of the reference how many rows of the explored turn do."""
    reference, explored = cells(gap)
    left, right = above[:, reference], below[:, explored]
    low, high = np.zeros(len(left), int), np.full(len(left), len(right))
    while (low < high).any():
        middle = (low + high) // 2
        proves = (left + right[np.minimum(middle, len(right) - 1)]).min(1) >= needed
        low, high = np.where(proves & (low < high), middle + 1, low), np.where(proves, high, middle)
    return np.arange(len(right)) < low[:, None]
