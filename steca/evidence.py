"""What rollouts prove about the gap of two step rewards: an anytime-valid test.

A mean mu in [0, 1] is tested by betting (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by
betting", JRSS B 2024). Against "mu <= m" the wealth

    W(m) = average, over p > m drawn from a prior, of  prod_i [ x_i * p/m + (1 - x_i) * (1-p)/(1-m) ]

starts at 1 and, if mu <= m, is a non-negative supermartingale: each factor is increasing and linear in x_i, and
1 in expectation at mu = m. So P(W(m) ever reaches 1/alpha) <= alpha (Ville's inequality), whatever the
stopping time. For x in {0, 1} it is a ratio of incomplete beta integrals, known from n and the sum of outcomes
alone. For x in between, the same formula with the (fractional) sum never exceeds the wealth, because log is concave,
so the test stays valid. Against "mu >= m" both sides are swapped.

Two means. If explored - reference >= g, some m has reference <= m and explored >= m + g. The streams are
independent, so the product of the wealths against both parts is a supermartingale again, even if past outcomes decide
which side is sampled next. The hypothesis is rejected once the product has reached 1/alpha for every m. On a grid,
all m of the cell [m_k, m_k+1] are covered by "reference <= m_k+1 and explored >= m_k + g": exact, not an
approximation. (For equal blocks and a common m it is the test of Turner, Ly and Grünwald, "Generic E-variables for
exact sequential k-sample tests that allow for optional stopping", JSPI 2024.)

Inverted: the gaps that are not rejected form a confidence sequence, an interval that holds the true gap at all times,
each end with error alpha. It can judge any threshold, also one chosen after the rollouts.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special

from steca.rewards import Tally

Curve = npt.NDArray[np.float64]

CELLS = 400
"""Means and gaps lie on a grid of this many steps in [0, 1], so thresholds of two decimals do too."""
_GRID = np.linspace(0.0, 1.0, CELLS + 1)
_ABOVE = _GRID[::-1]
_BETS = 0.5
"""Jeffreys' beta prior of p. It affects how soon the test ends, never its validity."""
with np.errstate(divide="ignore"):
    _PRIOR = special.betaln(_BETS, _BETS) + np.log(special.betainc(_BETS, _BETS, _ABOVE))


@lru_cache(maxsize=1 << 16)
def gap_interval(reference: Tally, explored: Tally, error_rate: float) -> tuple[float, float]:
    """(low, high) of explored - reference, multiples of 1/CELLS: P(the gap is ever >= high) <= error_rate, and so for
    gap <= low. (-1, 1) without evidence; a whole step wide where both means are known.

    Raises ValueError unless 0 < error_rate < 1.
    """
    if not 0.0 < error_rate < 1.0:
        raise ValueError(f"the error rate must lie between 0 and 1, e.g. 0.05; got {error_rate}")
    needed = -np.log(error_rate)
    return -_least_rejected(explored, reference, needed) / CELLS, _least_rejected(
        reference, explored, needed
    ) / CELLS


def _least_rejected(reference: Tally, explored: Tally, needed: float) -> int:
    """The smallest g, in grid steps, such that "explored - reference >= g" is rejected; the wealth grows with g."""
    above, below = log_wealth_above(reference), log_wealth_below(explored)
    low, high = -CELLS, CELLS + 1
    while high - low > 1:
        middle = (low + high) // 2
        if log_wealth_of_gap(above, below, middle) >= needed:
            high = middle
        else:
            low = middle
    return min(high, CELLS)


def log_wealth_of_gap(above: Curve, below: Curve, gap: int) -> float:
    """Log wealth against "explored - reference >= gap" (grid steps), from the curve `above` of the reference and
    `below` of the explored turn."""
    if abs(gap) > CELLS:
        return np.inf if gap > 0 else 0.0  # no two means in [0, 1] have such a gap, or all have
    reference, explored = cells(gap)
    return float((above[reference] + below[explored]).min())


def cells(gap: int) -> tuple[slice, slice]:
    """Which entries of the two curves to add up, for every m with m and m + gap in [0, 1]: the upper end of each cell
    of the reference, the lower end of the explored turn's. Gaps of 1 and -1 have one m and no cell."""
    first, last = max(0, -gap), min(CELLS, CELLS - gap)
    if first == last:
        return slice(first, first + 1), slice(first + gap, first + gap + 1)
    return slice(first + 1, last + 1), slice(first + gap, last + gap)


def log_wealth_above(tally: Tally) -> Curve:
    """For every m of the grid, [CELLS + 1]: log wealth against "the mean is at most m"."""
    if tally.known is not None:
        return np.where(tally.known - _GRID > 1e-9, np.inf, 0.0)
    return _log_wealth_above(tally.n, round(tally.total, 9))


def log_wealth_below(tally: Tally) -> Curve:
    """For every m of the grid, [CELLS + 1]: log wealth against "the mean is at least m"."""
    if tally.known is not None:
        return np.where(_GRID - tally.known > 1e-9, np.inf, 0.0)
    return _log_wealth_above(tally.n, round(tally.n - tally.total, 9))[::-1]


@lru_cache(maxsize=1 << 13)
def _log_wealth_above(n: int, total: float) -> Curve:
    a, b = total + _BETS, n - total + _BETS
    with np.errstate(divide="ignore", invalid="ignore"):  # m = 0 and m = 1 are corrected below
        # betainc(b, a, 1 - m): betaincc(a, b, m) is the same, but ten times as slow
        tail = special.betaln(a, b) + np.log(special.betainc(b, a, _ABOVE))
        least = special.xlogy(a, _GRID) + special.xlogy(b, _ABOVE) - np.log(b)  # where the tail underflows
        bets = np.maximum(tail, least)
        null = special.xlogy(total, _GRID) + special.xlogy(n - total, _ABOVE)
        wealth = bets - _PRIOR - null
    wealth[-1] = 0.0  # every mean is at most 1, so nothing can be won against it
    wealth[0] = np.inf if total > 0 else wealth[0]  # a mean of 0 never pays
    # Made non-increasing in m (less wealth stays valid), so that rejecting a gap rejects all larger ones.
    curve = np.minimum.accumulate(np.nan_to_num(wealth, nan=0.0, posinf=np.inf))
    curve.setflags(write=False)
    return curve
