"""The exact rates in the benchmark of verdicts equal those of simulated games."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from benchmarks.closings import Closings, closings
from benchmarks.verdicts import GRID, Design, compiled, fitted, mix, mix_values, replayed, sequential
from steca.deviation import decide, preset
from steca.rewards import Tally, wilson_interval
from steca.stopping import Curtailed, Fixed, Sequential

RULE = preset("sequential")
MODE = Sequential(RULE, 12, 100)
PAIRS = np.array([(0.0, 0.0), (0.5, 0.5), (0.8, 0.3), (0.02, 0.4), (1.0, 0.0)])


@pytest.mark.parametrize(
    "of", [Fixed(5), Curtailed(5, preset("release")), MODE], ids=lambda mode: type(mode).__name__
)
def test_the_chances_of_all_closings_sum_up_to_one(of) -> None:  # type: ignore[no-untyped-def]
    rule = RULE if of is MODE else preset("release")
    ends = closings(of, rule)
    every = Closings(ends.states, ends.ways, np.ones(len(ends.ways), bool), ends.not_deviated)
    assert every.at(*PAIRS.T).deviated == pytest.approx(1.0)
    counts = np.array([(0, 0), (3, 12), (12, 12)])
    assert every.replayed(*counts.T, of=12).deviated == pytest.approx(1.0)


def test_the_published_rules_have_their_known_error_rates() -> None:
    half = np.array([0.5])
    assert closings(Fixed(5), preset("paper")).at(half, half).deviated == pytest.approx(386 / 1024)
    assert closings(Fixed(5), preset("release")).at(half, half).deviated == pytest.approx(638 / 1024)
    drop = closings(Fixed(5), preset("release")).at(np.array([0.8]), np.array([0.6]))
    assert 1 - drop.deviated == pytest.approx(0.142, abs=0.001)


@pytest.mark.parametrize(("p", "q"), [(0.5, 0.5), (0.8, 0.3), (0.3, 0.05)])
def test_exact_rates_are_those_of_games_played(p: float, q: float) -> None:
    """800 games; the 99.9 % Wilson interval of the rate, three standard errors of the cost."""
    draw, flags, costs = np.random.default_rng(3), 0, []
    for _ in range(800):
        streams = (draw.random((2, 12)) < np.array([[p], [q]])).astype(float)
        sides = [Tally(), Tally()]
        while (wanted := MODE.target_counts(sides[0], sides[1])) != (sides[0].n, sides[1].n):
            sides = [Tally.of(list(stream[:n])) for stream, n in zip(streams, wanted, strict=True)]
        flags += decide(sides[0], sides[1], RULE).verdict == "deviated"
        costs.append(sides[0].n + sides[1].n)
    exact = closings(MODE, RULE).at(np.array([p]), np.array([q]))
    low, high = wilson_interval(flags, 800, 0.999)
    assert low <= exact.deviated[0] <= high
    assert abs(np.mean(costs) - exact.rollouts[0]) <= 3 * np.std(costs) / np.sqrt(800)


def test_a_replay_is_the_average_over_all_orders() -> None:
    """Reference 1 of 3, explored 0 of 3, curtailed paper rule: all six are needed; with 3 of 3 it stops at the first
    failure."""
    rule = preset("paper")
    ends = closings(Curtailed(3, rule), rule)
    rates = ends.replayed(np.array([1, 3, 3]), np.array([0, 0, 2]), of=3)
    assert rates.deviated == pytest.approx(1.0)
    assert rates.rollouts == pytest.approx([6.0, 4.0, 3.0 + (1 + 2 + 3) / 3])
    with pytest.raises(ValueError, match="may take 3 outcomes, but there are only 2"):
        ends.replayed(np.array([1]), np.array([0]), of=2)


def test_curtailed_and_fixed_have_the_same_rates_and_other_costs() -> None:
    for name in ("paper", "release"):
        early = compiled(Design("c", name, Curtailed(5, preset(name)))).at(*PAIRS.T)
        whole = compiled(Design("f", name, Fixed(5))).at(*PAIRS.T)
        assert early.deviated == pytest.approx(whole.deviated)
        assert (early.rollouts < whole.rollouts).all()


def test_the_mix_is_fitted_and_replayed_from_its_file() -> None:
    assert len(mix().task) == 613
    values = mix_values()
    assert values.weight.sum() == pytest.approx(1.0, abs=1e-3)
    assert values.weight @ values.reference == pytest.approx(mix().reference.mean() / 24, abs=0.003)
    assert values.weight @ values.explored == pytest.approx(mix().explored.mean() / 24, abs=0.003)
    assert float(replayed(sequential(24, 70)).split()[0]) <= 2.5
    assert replayed(sequential(25, 70)) == "-"


def test_the_mixture_finds_a_known_one() -> None:
    """Half .1, half .8 on one side: 10,000 counts of 24."""
    chance = np.array([[comb(24, s) * v**s * (1 - v) ** (24 - s) for v in GRID] for s in range(25)])
    at = {value: int(np.abs(GRID - value).argmin()) for value in (0.1, 0.8)}
    seen = 5000 * chance[:, at[0.1]] + 5000 * chance[:, at[0.8]]
    weights = fitted(chance, seen)
    assert weights[GRID < 0.3].sum() == pytest.approx(0.5, abs=0.01)
    assert weights @ GRID == pytest.approx(0.45, abs=0.001)
    assert weights[(GRID > 0.3) & (GRID < 0.6)].sum() < 0.01
