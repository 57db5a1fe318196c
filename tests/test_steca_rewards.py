"""Step rewards and their intervals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from steca_runs import REPEATABLE

from steca.rewards import StepReward, step_reward, wilson_interval


def test_step_reward_is_the_mean_outcome() -> None:
    assert step_reward([1, 0, 1, 1, 0]) == pytest.approx(0.6)
    assert step_reward([0.25, 0.75]) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("outcomes", "word"), [([], "at least one"), ([0.5, 1.1], "outcome 1"), ([-0.1], "-0.1")]
)
def test_step_reward_refuses_missing_and_impossible_outcomes(outcomes: list[float], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        step_reward(outcomes)


def test_not_a_number_is_no_outcome() -> None:
    with pytest.raises(ValueError, match="outside"):
        StepReward((float("nan"),))


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
    reward = StepReward(tuple(outcomes))
    low, high = reward.interval
    assert 0.0 <= low <= reward.mean + 1e-12
    assert reward.mean - 1e-12 <= high <= 1.0
    assert low < high


def test_step_reward_keeps_its_evidence() -> None:
    reward = StepReward((1.0, 0.0, 0.5, 1.0))
    assert (reward.mean, reward.n, reward.successes, reward.terminal) == (0.625, 4, 2, False)


def test_a_terminal_turn_has_its_true_outcome_and_no_rollouts() -> None:
    reward = StepReward((1.0,), terminal=True)
    assert (reward.mean, reward.n, reward.successes, reward.interval) == (1.0, 0, 0, (1.0, 1.0))
    with pytest.raises(ValueError, match="one outcome; got 2"):
        StepReward((1.0, 0.0), terminal=True)
