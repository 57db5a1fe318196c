"""Games against the sequential test: the probability of ever rejecting, exact for the optimal opponent.

Streams are independent; the opponent sees all outcomes, chooses the side to sample next, and the stopping time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import xlogy

from steca.evidence import CELLS, cells, log_wealth_above, log_wealth_below
from steca.rewards import Tally

LONG, GAMES = 44, 10_000
"""Most outcomes of a side, and number of games, in simulations."""
Rejects = Callable[[int, int], npt.NDArray[np.bool_]]
"""(n of the reference, n of the explored turn) -> for every pair of successes, whether the hypothesis is rejected."""


def evidence_rejects(gap: int, error_rate: float, lower: bool = False) -> Rejects:
    """The test of "explored - reference >= gap" (grid steps); `lower`: of "explored - reference <= gap"."""

    def rejects(m: int, n: int) -> npt.NDArray[np.bool_]:
        if lower:
            return evidence_rejects(-gap, error_rate)(n, m).T
        above = np.stack([log_wealth_above(Tally(m, s)) for s in range(m + 1)])
        below = np.stack([log_wealth_below(Tally(n, s)) for s in range(n + 1)])
        reference, explored = cells(gap)
        left, right = above[:, reference], below[:, explored]
        return (left[:, None] + right[None]).min(2) >= -np.log(error_rate)

    return rejects


def z_rejects(m: int, n: int) -> npt.NDArray[np.bool_]:
    """A z test at 5 %, valid for a single look only: optional stopping breaks it."""
    if not m or not n:
        return np.zeros((m + 1, n + 1), bool)
    p, q = np.arange(m + 1)[:, None] / m, np.arange(n + 1)[None] / n
    pooled = (p * m + q * n) / (m + n)
    return p - q > 1.645 * np.sqrt(pooled * (1 - pooled) * (1 / m + 1 / n)) + 1e-12


def paper_rejects(m: int, n: int) -> npt.NDArray[np.bool_]:
    """The published comparison of means, strict, once both sides have 5 outcomes."""
    p, q = np.arange(m + 1)[:, None] / max(m, 1), np.arange(n + 1)[None] / max(n, 1)
    return (p > q + 1e-9) & (min(m, n) >= 5)


def tables(rejects: Rejects, horizon: int) -> list[list[npt.NDArray[np.bool_]]]:
    return [[rejects(m, n) for n in range(horizon + 1)] for m in range(horizon + 1)]


def best_opponent(rejected: list[list[npt.NDArray[np.bool_]]], p: float, q: float) -> float:
    """P(ever rejected) under the best sampling order and stopping time within the horizon, by backward induction."""
    horizon = len(rejected) - 1
    chance: dict[tuple[int, int], npt.NDArray[np.float64]] = {}
    for m in reversed(range(horizon + 1)):
        for n in reversed(range(horizon + 1)):
            best = np.zeros((m + 1, n + 1))
            if m < horizon:
                later = chance[m + 1, n]
                best = np.maximum(best, p * later[1:] + (1 - p) * later[:-1])
            if n < horizon:
                later = chance[m, n + 1]
                best = np.maximum(best, q * later[:, 1:] + (1 - q) * later[:, :-1])
            chance[m, n] = np.where(rejected[m][n], 1.0, best)
    return float(chance[0, 0][0, 0])


def drawn(mean: float, kind: str, draw: np.random.Generator, count: int) -> npt.NDArray[np.int64]:
    """Outcomes with this mean, in sixths: 0 or 1; thirds, as for three conditions; a beta, rounded at random."""
    if kind == "binary":
        return 6 * (draw.random(count) < mean)
    if kind == "thirds":
        return 2 * draw.binomial(3, mean, count)
    exact = 6 * draw.beta(2 * mean, 2 * (1 - mean) + 1e-12, count)
    return np.floor(exact + draw.random(count)).astype(np.int64)


@lru_cache(maxsize=4)
def _wealth(below: bool, hindsight: bool) -> npt.NDArray[np.float32]:
    """[n, total in sixths, mean of the grid]: log wealth."""
    table = np.full((LONG + 1, 6 * LONG + 1, CELLS + 1), -np.inf, np.float32)
    for n in range(LONG + 1):
        for total in range(0, 6 * n + 1, 6 if hindsight else 1):
            tally = Tally(n, total / 6)
            if hindsight:
                table[n, total] = _best_bet(tally, below)
            else:
                table[n, total] = log_wealth_below(tally) if below else log_wealth_above(tally)
    return table


def _best_bet(tally: Tally, below: bool) -> npt.NDArray[np.float64]:
    means = np.linspace(0.0, 1.0, CELLS + 1)
    if not tally.n:
        return np.zeros(CELLS + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        won, lost = tally.total, tally.n - tally.total
        bet = xlogy(won, tally.mean / means) + xlogy(lost, (1 - tally.mean) / (1 - means))
    return np.where(tally.mean >= means if below else tally.mean <= means, 0.0, bet)


def long_game(p: float, q: float, kind: str, hindsight: bool = False) -> float:
    """Share of games in which the wealth against the true means ever reaches 1/.05. The opponent samples the side
    that has proven less so far, and stops only then or at the horizon."""
    draw = np.random.default_rng(round(1e6 * p + 1e3 * q))
    above = np.ascontiguousarray(_wealth(False, hindsight)[:, :, round(p * CELLS)])
    below = np.ascontiguousarray(_wealth(True, hindsight)[:, :, round(q * CELLS)])
    counts, totals = np.zeros((2, GAMES), np.int64), np.zeros((2, GAMES), np.int64)
    every, reached = np.arange(GAMES), np.zeros(GAMES, bool)
    for _ in range(2 * LONG):
        side = (below[counts[1], totals[1]] < above[counts[0], totals[0]]).astype(np.int64)
        side = np.where(counts[side, every] == LONG, 1 - side, side)
        new = np.where(side == 0, drawn(p, kind, draw, GAMES), drawn(q, kind, draw, GAMES))
        counts[side, every] += 1
        totals[side, every] += new
        reached |= above[counts[0], totals[0]] + below[counts[1], totals[1]] >= np.log(20)
    return float(reached.mean())
