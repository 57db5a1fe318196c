"""The exact behaviour of a stopping rule: every state in which it closes a comparison, and the number of ways there.

Given the two values, a state with s of m and t of n successes that k orders of outcomes lead to has the chance
k p^s (1-p)^(m-s) q^t (1-q)^(n-t). So one walk through the rule itself (`StoppingRule.target_counts`, `decide`) gives
its error rates, power and cost for any pair of values, without simulation.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from math import comb

import numpy as np
import numpy.typing as npt
from scipy import special

from steca.deviation import Rule, decide
from steca.rewards import Tally
from steca.stopping import Curtailed, StoppingRule, settled

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rates:
    """For each pair of values: probabilities of the verdicts, and mean rollouts of both sides together."""

    deviated: Floats
    not_deviated: Floats
    rollouts: Floats

    @property
    def undecided(self) -> Floats:
        return np.maximum(0.0, 1.0 - self.deviated - self.not_deviated)


@dataclass(frozen=True, slots=True)
class Closings:
    """One row per closing state: [states, 4] of (m, s, n, t), the number of ways there, and its verdict."""

    states: Ints
    ways: Floats
    deviated: npt.NDArray[np.bool_]
    not_deviated: npt.NDArray[np.bool_]

    def at(self, reference: Floats, explored: Floats) -> Rates:
        """The rates for these true values."""
        m, s, n, t = self.states.T
        return self._rates(lambda i: _power(reference[i], m, s) * _power(explored[i], n, t), len(reference))

    def replayed(self, reference: Ints, explored: Ints, of: int) -> Rates:
        """The mean rates over all orders of the given outcomes: successes of each side `of` a fixed number."""
        m, s, n, t = self.states.T
        if max(m.max(), n.max()) > of:
            raise ValueError(f"the rule may take {max(m.max(), n.max())} outcomes, but there are only {of}")
        return self._rates(
            lambda i: _share(reference[i], of, m, s) * _share(explored[i], of, n, t), len(reference)
        )

    def _rates(self, chances, pairs: int) -> Rates:  # type: ignore[no-untyped-def]
        rows = np.empty((3, pairs))
        columns = np.stack(
            [self.deviated, self.not_deviated, self.states[:, 0] + self.states[:, 2]], 1
        ).astype(float)
        for i in range(pairs):
            rows[:, i] = (self.ways * chances(i)) @ columns
        return Rates(*rows)


def _power(value: float, n: Ints, successes: Ints) -> Floats:
    """Probability of one order of outcomes with this many successes, from tables of powers."""
    up, down = value ** np.arange(n.max() + 1), (1.0 - value) ** np.arange(n.max() + 1)
    return up[successes] * down[n - successes]


def _share(successes: int, of: int, n: Ints, some: Ints) -> Floats:
    """Probability of one order of n outcomes with `some` successes, drawn from `of` with `successes`."""
    return special.binom(of - n, successes - some) * (some <= successes) / special.binom(of, successes)


def closings(stopping: StoppingRule, rule: Rule) -> Closings:
    """All closing states of a rule, by dynamic programming over the states, fewest rollouts first."""
    ways = {(0, 0, 0, 0): 1.0}
    queue, closed = [(0, (0, 0, 0, 0))], []
    while queue:
        _, state = heapq.heappop(queue)
        count = ways.pop(state)
        m, s, n, t = state
        reference, explored = Tally(m, s), Tally(n, t)
        more_m, more_n = stopping.target_counts(reference, explored)
        if (more_m, more_n) == (m, n):
            closed.append((*state, count, _verdict(stopping, rule, reference, explored)))
            continue
        for a in range(more_m - m + 1):
            for b in range(more_n - n + 1):
                then = (more_m, s + a, more_n, t + b)
                if then not in ways:
                    heapq.heappush(queue, (more_m + more_n, then))
                ways[then] = ways.get(then, 0.0) + count * comb(more_m - m, a) * comb(more_n - n, b)
    verdicts = np.array([row[5] for row in closed])
    return Closings(
        np.array([row[:4] for row in closed]),
        np.array([row[4] for row in closed]),
        verdicts == "deviated",
        verdicts == "not_deviated",
    )


def _verdict(stopping: StoppingRule, rule: Rule, reference: Tally, explored: Tally) -> str:
    if isinstance(stopping, Curtailed):
        return str(settled(reference, explored, rule, stopping.rollouts))
    return decide(reference, explored, rule).verdict
