"""The sequential test: its bound holds against every opponent, and tests made for one look break in the same game."""

from __future__ import annotations

from functools import cache
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steca.deviation import decide, preset
from steca.evidence import CELLS, gap_interval, log_wealth_above, log_wealth_below, log_wealth_of_gap
from steca.rewards import Tally
from tests.support.evidence_games import (
    GAMES,
    best_opponent,
    evidence_rejects,
    long_game,
    paper_rejects,
    tables,
    z_rejects,
)
from tests.support.steca_runs import REPEATABLE

ALPHA = 0.05
HORIZON = 24
MEANS = [0.0, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99, 1.0]
DELTAS = [-0.01, 0.0, 0.05, 0.1]


@cache
def rejected(delta: float, lower: bool):  # type: ignore[no-untyped-def]
    return tables(evidence_rejects(round(delta * CELLS), ALPHA, lower), HORIZON)


@pytest.mark.parametrize("delta", DELTAS)
def test_no_opponent_gets_a_true_hypothesis_rejected_more_often_than_stated(delta: float) -> None:
    """Exact: the opponent knows the values and chooses every side and the stopping time. Gaps at delta, and above."""
    for p, more in product(MEANS, (0.0, 0.003, 0.1)):
        q = p + delta + more
        if 0.0 <= q <= 1.0:
            assert best_opponent(rejected(delta, lower=False), p, q) <= ALPHA, (p, q)


@pytest.mark.parametrize("delta", [-0.2, -0.1])
def test_nor_is_a_drop_that_matters_ruled_out_more_often(delta: float) -> None:
    for p, more in product(MEANS, (0.0, 0.003, 0.1)):
        q = p + delta - more
        if 0.0 <= q <= 1.0:
            assert best_opponent(rejected(delta, lower=True), p, q) <= ALPHA, (p, q)


def test_the_bound_is_nearly_reached() -> None:
    """Otherwise rollouts would be wasted. (.034 within 24 outcomes per side; the bound is for infinite games.)"""
    assert best_opponent(rejected(0.0, lower=False), 0.5, 0.5) > 0.03


@pytest.mark.parametrize("control", [z_rejects, paper_rejects])
def test_tests_made_for_one_look_break_in_this_game(control) -> None:  # type: ignore[no-untyped-def]
    assert best_opponent(tables(control, 20), 0.5, 0.5) > 0.3


def test_the_game_is_about_the_verdicts_that_are_given() -> None:
    draw = np.random.default_rng(0)
    for delta in DELTAS:
        for m, n in draw.integers(0, HORIZON, (40, 2)):
            s, t = draw.integers(0, m + 1), draw.integers(0, n + 1)
            verdict = decide(Tally(m, s), Tally(n, t), preset("sequential", delta)).verdict
            assert bool(rejected(delta, lower=False)[m][n][s, t]) == (verdict == "deviated")


@pytest.mark.parametrize("delta", [-0.01, 0.0, 0.1])
@pytest.mark.parametrize("outcomes", ["binary", "thirds", "beta"])
def test_the_bound_holds_over_long_games_and_for_partial_outcomes(outcomes: str, delta: float) -> None:
    """10,000 games for each pair, up to 44 outcomes a side; three binomial standard errors are allowed. A real
    rejection must refute all means of the hypothesis, here only the true one: a stronger check than the claim."""
    for p in (0.05, 0.5, 0.9):
        q = p + delta
        rate = long_game(p, q, outcomes)
        assert rate <= ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / GAMES), (p, q, rate)


def test_the_best_bet_in_hindsight_breaks_in_long_games() -> None:
    """Negative control: the likelihood ratio at the best p > m instead of its average is not a valid wealth."""
    assert long_game(0.5, 0.5, "binary", hindsight=True) > 2 * ALPHA


@pytest.mark.parametrize(
    ("p", "q"), [(0.0, 0.0), (0.3, 0.3), (0.303, 0.5), (0.9, 0.2), (1.0, 0.999), (0.5, 0.5)]
)
def test_the_interval_holds_the_gap_at_all_times(p: float, q: float) -> None:
    """Exact, and against the best opponent: each end errs at most at the error rate."""
    most = 8
    missed: dict[bool, list[list[np.ndarray]]] = {}
    for end in (False, True):
        missed[end] = [[np.zeros((m + 1, n + 1), bool) for n in range(most)] for m in range(most)]
        for m, n in product(range(most), repeat=2):
            for s, t in product(range(m + 1), range(n + 1)):
                low, high = gap_interval(Tally(m, s), Tally(n, t), 0.2)
                missed[end][m][n][s, t] = q - p > high - 1e-9 if end else q - p < low + 1e-9
    for end in (False, True):
        assert best_opponent(missed[end], p, q) <= 0.2


def test_the_interval_without_evidence_is_everything_and_with_much_of_it_narrow() -> None:
    """Of 4,000 outcomes, whose beta tails underflow."""
    assert gap_interval(Tally(), Tally(), 0.05) == (-1.0, 1.0)
    low, high = gap_interval(Tally(4000, 2000), Tally(4000, 1600), 0.05)
    assert -0.16 < low < -0.1 < high < -0.04


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan")])
def test_an_impossible_error_rate_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="error rate"):
        gap_interval(Tally(), Tally(), rate)


tallies = st.integers(0, 40).flatmap(
    lambda n: st.floats(0, 1).map(lambda share: Tally(n, round(share * n * 4) / 4))
)


@REPEATABLE
@given(tallies, tallies, st.floats(0.001, 0.5), st.floats(0.001, 0.5))
def test_a_smaller_error_rate_never_claims_more(a: Tally, b: Tally, one: float, other: float) -> None:
    outer, inner = (gap_interval(a, b, rate) for rate in sorted((one, other)))
    assert outer[0] <= inner[0]
    assert inner[1] <= outer[1]


@REPEATABLE
@given(tallies, tallies, st.floats(0, 1))
def test_more_success_moves_the_interval_its_way(a: Tally, b: Tally, share: float) -> None:
    low, high = gap_interval(a, b, ALPHA)
    better = Tally(a.n, a.total + share * (a.n - a.total))
    assert gap_interval(better, b, ALPHA)[1] <= high
    assert gap_interval(better, b, ALPHA)[0] <= low
    better = Tally(b.n, b.total + share * (b.n - b.total))
    assert gap_interval(a, better, ALPHA)[0] >= low
    assert gap_interval(a, better, ALPHA)[1] >= high


@REPEATABLE
@given(tallies, tallies)
def test_sides_and_outcomes_can_be_swapped(a: Tally, b: Tally) -> None:
    def failures(tally: Tally) -> Tally:
        return Tally(tally.n, tally.n - tally.total)

    low, high = gap_interval(a, b, ALPHA)
    assert gap_interval(b, a, ALPHA) == (-high, -low)
    assert gap_interval(failures(b), failures(a), ALPHA) == pytest.approx((low, high))


@REPEATABLE
@given(tallies, tallies)
def test_larger_gaps_are_refuted_more(a: Tally, b: Tally) -> None:
    above, below = log_wealth_above(a), log_wealth_below(b)
    wealth = [log_wealth_of_gap(above, below, gap) for gap in range(-CELLS, CELLS + 2)]
    assert all(x <= y for x, y in pairwise(wealth))
    assert wealth[-1] == np.inf


def test_a_known_value_is_evidence_without_end() -> None:
    low, high = gap_interval(Tally(known=0.5), Tally(known=0.25), ALPHA)
    assert (low, high) == pytest.approx((-0.255, -0.245))
    sequential = preset("sequential")
    assert decide(Tally(1, 1), Tally(known=0.0), sequential).verdict == "deviated"  # .05 > P(1 | below 1/400)
    assert decide(Tally(known=1.0), Tally(1, 0), sequential).verdict == "deviated"
    assert decide(Tally(9, 0), Tally(known=0.0), sequential).verdict == "undecided"
    assert decide(Tally(40, 0), Tally(known=0.0), sequential).verdict == "not_deviated"
    assert decide(Tally(known=0.0), Tally(), sequential).verdict == "not_deviated"


def test_the_wealth_is_a_supermartingale_at_its_null() -> None:
    """E[wealth after one more outcome] <= wealth, for every mean of the grid and every state up to 12 outcomes."""
    grid = np.linspace(0.0, 1.0, CELLS + 1)
    for n in range(13):
        for s in range(n + 1):
            for curve, chance in ((log_wealth_above, grid), (log_wealth_below, grid)):
                now, win, lose = (np.exp(curve(Tally(*at))) for at in ((n, s), (n + 1, s + 1), (n + 1, s)))
                possible = ((chance > 0) | (s == 0)) & ((chance < 1) | (s == n))
                with np.errstate(invalid="ignore"):
                    later = np.where(chance > 0, chance * win, 0) + np.where(
                        chance < 1, (1 - chance) * lose, 0
                    )
                assert (later <= now * (1 + 1e-9) + 1e-12)[possible].all(), (n, s)
    assert (np.exp(log_wealth_above(Tally())) <= 1 + 1e-12).all()


@pytest.mark.parametrize(
    "outcomes",
    [
        [1, 1, 0, 1],
        [0, 0, 0],
        [1] * 8,
        [0.5, 0.5, 0.5],
        [0.9, 0.2, 1.0, 0.4, 0.7],
        [1 / 3, 2 / 3, 1.0, 1 / 3],
    ],
)
def test_the_formula_is_the_average_of_the_bets_or_less(outcomes: list[float]) -> None:
    """By numeric integration, p = sin^2(angle) with Jeffreys' prior uniform in the angle: equal for 0 and 1 outcomes,
    never more for partial ones."""
    curve = log_wealth_above(Tally.of(outcomes))
    for cell in (4, 40, 100, 200, 320, 396):
        m = cell / CELLS
        angles = np.linspace(np.arcsin(np.sqrt(m)), np.pi / 2, 20_001)
        p = np.sin((angles[1:] + angles[:-1]) / 2) ** 2
        bets = np.prod([x * p / m + (1 - x) * (1 - p) / (1 - m) for x in outcomes], axis=0)
        wealth, stated = bets.mean(), np.exp(curve[cell])
        if all(x in (0, 1) for x in outcomes):
            assert stated == pytest.approx(wealth, rel=1e-4)
        else:
            assert stated <= wealth * (1 + 1e-6)
