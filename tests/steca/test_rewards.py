"""Step rewards and their intervals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from steca.rewards import Tally, compared_value, wilson_interval
from steca.vocabulary import RewardOutcome
from tests.support.steca_runs import REPEATABLE


@pytest.mark.parametrize(
    ("measure", "values"),
    [("success", [0.0, 1.0, 0.0]), ("progress", [0.5, 1.0, 0.7]), ("score", [0.0, 1.0, 0.7])],
)
def test_what_is_compared_of_an_episode(measure: RewardOutcome, values: list[float]) -> None:
    """A failure half way to the goal, a success, and a reward of .7 in a world that does not measure progress."""
    episodes = [(0.0, 0.5), (1.0, 1.0), (0.7, None)]
    assert [compared_value(outcome, progress, measure) for outcome, progress in episodes] == values


def test_the_step_reward_is_the_mean_outcome() -> None:
    assert Tally.of([1, 0, 1, 1, 0]).mean == pytest.approx(0.6)
    assert Tally.of([0.25, 0.75]) == Tally(2, 1.0)


@pytest.mark.parametrize(("outcomes", "word"), [([0.5, 1.1], "outcome 1 is 1.1"), ([-0.1], "-0.1")])
def test_impossible_outcomes_are_refused(outcomes: list[float], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Tally.of(outcomes)


def test_not_a_number_is_no_outcome() -> None:
    with pytest.raises(ValueError, match="outside"):
        Tally.of([float("nan")])
    with pytest.raises(ValueError, match="nan"):
        Tally(1, float("nan"))


def test_no_mean_is_ever_guessed() -> None:
    assert Tally.of([]).empty
    with pytest.raises(ValueError, match="at least one"):
        _ = Tally().mean


@pytest.mark.parametrize(("n", "total"), [(5, 5.5), (5, -0.5), (0, 1.0)])
def test_a_total_that_no_outcomes_have_is_refused(n: int, total: float) -> None:
    with pytest.raises(ValueError, match=f"{n} outcomes"):
        Tally(n, total)


def test_wilson_interval_of_three_in_five() -> None:
    # centre (0.6 + 3.8415/10) / (1 + 3.8415/5) = 0.5565; half width 0.3259
    assert wilson_interval(3, 5) == pytest.approx((0.2307, 0.8824), abs=1e-4)


@pytest.mark.parametrize(("successes", "n"), [(0, 5), (5, 5), (1, 1), (17, 100), (150, 300)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_wilson_interval_agrees_with_scipy(successes: int, n: int, level: float) -> None:
    expected = binomtest(successes, n).proportion_ci(level, method="wilson")
    assert wilson_interval(successes, n, level) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_interval_of_nothing_knows_nothing() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("successes", "n", "level"), [(6, 5, 0.95), (-1, 5, 0.95), (1, 5, 0.0), (1, 5, 95.0)]
)
def test_wilson_interval_refuses_impossible_input(successes: float, n: int, level: float) -> None:
    with pytest.raises(ValueError, match="must lie between"):
        wilson_interval(successes, n, level)


@REPEATABLE
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_the_interval_holds_the_mean(outcomes: list[float]) -> None:
    tally = Tally.of(outcomes)
    low, high = tally.interval
    assert 0.0 <= low <= tally.mean + 1e-12
    assert tally.mean - 1e-12 <= high <= 1.0
    assert low < high


def test_a_known_value_needs_no_rollouts() -> None:
    """That of a turn that ended the episode."""
    tally = Tally(known=0.25)
    assert (tally.mean, tally.n, tally.interval, tally.empty) == (0.25, 0, (0.25, 0.25), False)
    with pytest.raises(ValueError, match="no rollouts; got 2"):
        Tally(2, 1.0, known=1.0)
