"""How probable a drop is, given the rollouts of both turns: independent beta posteriors.

Each mean has Jeffreys' prior Beta(1/2, 1/2), so after n outcomes with the sum s it has the posterior

    Beta(s + 1/2, n - s + 1/2)

This is exact for outcomes 0 and 1. Outcomes in between (progress) enter by their fractional sum, as if they varied as
much as outcomes 0 and 1 do. A known value is a point. Without outcomes the posterior is the prior.

Unlike the test of `steca.evidence` it promises no error rate. It says what to believe about one comparison, whenever
sampling stopped.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special

from steca.rewards import TIE, Tally

Curve = npt.NDArray[np.float64]

_JEFFREYS = 0.5
_NODES = 400
"""Gauss-Legendre nodes. The error is below 1e-9 up to some thousands of outcomes a side."""
_ROOTS, _WEIGHTS = np.polynomial.legendre.leggauss(_NODES)
_PLACES = (_ROOTS + 1.0) / 2.0  # in [0, 1]
# Angles in [0, pi/2], dense at both ends: fractional sums leave a weak singularity there.
_ANGLES = np.pi / 2 * _PLACES**2 * (3.0 - 2.0 * _PLACES)
_STEPS = _WEIGHTS / 2.0 * np.pi / 2 * 6.0 * _PLACES * (1.0 - _PLACES)
DIGITS = 8
"""Probabilities are rounded to so many digits, so that equal counts give equal rows on every machine."""


@lru_cache(maxsize=1 << 16)
def drop_probability(reference: Tally, explored: Tally, delta: float = 0.0) -> float:
    """P(mu_explored - mu_reference < delta | the outcomes of both sides), within 1e-8.

    It grows with delta and with the successes of the reference, and falls with those of the explored turn. 1/2 for
    equal tallies and delta 0.
    """
    if reference.known is not None and explored.known is not None:
        return float(explored.known - reference.known < delta - TIE)
    if reference.known is not None:
        return _rounded(_below(explored, reference.known + delta))
    if explored.known is not None:
        return _rounded(1.0 - _below(reference, explored.known - delta))
    return _rounded(_integral(reference, explored, delta))


def expected_gap(reference: Tally, explored: Tally) -> float:
    """E(mu_explored - mu_reference | the outcomes of both sides): the posterior means' difference."""
    return _rounded(expected_value(explored) - expected_value(reference))


def expected_value(tally: Tally) -> float:
    """E(mu | the outcomes): the posterior mean; the value itself where it is known."""
    if tally.known is not None:
        return tally.known
    return (tally.total + _JEFFREYS) / (tally.n + 2 * _JEFFREYS)


def _parameters(tally: Tally) -> tuple[float, float]:
    return tally.total + _JEFFREYS, tally.n - tally.total + _JEFFREYS


def _below(tally: Tally, value: float) -> float:
    """P(mu < value)."""
    return float(special.betainc(*_parameters(tally), min(max(value, 0.0), 1.0)))


def _integral(reference: Tally, explored: Tally, delta: float) -> float:
    """The integral of f_reference(m) * F_explored(m + delta) over m.

    Between `low` and `high`, where m + delta lies in [0, 1], with m = low + (high - low) sin^2(angle): that removes the
    singularities of both factors at the ends. Above `high` the second factor is 1, below `low` it is 0.
    """
    a, b = _parameters(reference)
    low, high = max(0.0, -delta), min(1.0, 1.0 - delta)
    above = 1.0 - _below(reference, high)
    if high <= low:
        return above
    width = high - low
    sin, cos = np.sin(_ANGLES), np.cos(_ANGLES)
    below_m = low + width * sin**2
    above_m = 1.0 - high + width * cos**2  # 1 - m, without cancellation
    density: Curve = np.exp(
        special.xlogy(a - 1.0, below_m) + special.xlogy(b - 1.0, above_m) - special.betaln(a, b)
    )
    smaller = special.betainc(*_parameters(explored), np.clip(below_m + delta, 0.0, 1.0))
    return above + float(np.sum(_STEPS * density * smaller * 2.0 * width * sin * cos))


def _rounded(probability: float) -> float:
    return round(min(max(probability, -1.0), 1.0), DIGITS) + 0.0  # no -0.0
