"""The sampling plan: optimal by brute force, bounded, and without verdicts of its own."""

from __future__ import annotations

from functools import cache
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import beta

from steca.allocation import PRIOR, SamplingPlan, looks, plan
from steca.deviation import Rule, decide, preset
from steca.rewards import Tally
from tests.support.steca_runs import REPEATABLE

PRICE, UNSEEN = 1 / 60, Tally()


def rule_of(plan_args: tuple[float, float]) -> Rule:
    return preset("sequential", plan_args[0], plan_args[1])


def chance(n: int, s: int, more: int, won: int) -> float:
    """P(`won` of `more` outcomes are 1 | s of n were), under the plan's prior."""
    a, b = s + PRIOR[0], n - s + PRIOR[1]
    return comb(more, won) * beta(a + won, b + more - won) / beta(a, b)


def brute_force(rule: Rule, at: list[int], price: float, known: float | None = None) -> float:
    """The value of the best sampling before the first outcome, from the definition: the verdict decides what is
    proven. `known`: the explored turn's value."""

    @cache
    def value(i: int, s: int, j: int, t: int) -> float:
        explored = Tally(at[j], t) if known is None else Tally(known=known)
        if decide(Tally(at[i], s), explored, rule).verdict == "deviated":
            return 1.0
        best = 0.0
        if i + 1 < len(at):
            more = at[i + 1] - at[i]
            later = sum(chance(at[i], s, more, w) * value(i + 1, s + w, j, t) for w in range(more + 1))
            best = max(best, later - price * more)
        if known is None and j + 1 < len(at):
            more = at[j + 1] - at[j]
            later = sum(chance(at[j], t, more, w) * value(i, s, j + 1, t + w) for w in range(more + 1))
            best = max(best, later - price * more)
        return best

    return value(0, 0, 0, 0)


@pytest.mark.parametrize("thresholds", [(0.0, 0.2), (0.1, 0.05), (-0.01, 0.1)])
@pytest.mark.parametrize("price", [1e-3, 1e-2])
def test_the_plan_is_worth_what_the_best_sampling_is(thresholds: tuple[float, float], price: float) -> None:
    best = brute_force(rule_of(thresholds), looks(8), price)
    planned = plan(*thresholds, 8, price).value(Tally(), Tally())
    assert planned == pytest.approx(best, abs=1e-9)
    assert planned > 0.0


def test_a_known_value_changes_the_plan() -> None:
    best = brute_force(rule_of((0.0, 0.05)), looks(10), PRICE, known=0.0)
    planned = plan(0.0, 0.05, 10, PRICE, explored_known=0.0)
    assert planned.value(Tally(), Tally(known=0.0)) == pytest.approx(best, abs=1e-9)
    assert best > plan(0.0, 0.05, 10, PRICE).value(Tally(), Tally()) + 0.05


def test_looks_are_every_outcome_first_and_rarer_later() -> None:
    assert looks(0) == [0]
    assert looks(12) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12]
    assert looks(11)[-3:] == [8, 10, 11]


def walk(
    made: SamplingPlan, outcomes: list[float], reference: Tally = UNSEEN, explored: Tally = UNSEEN
) -> list[tuple[int, int]]:
    """The sizes of both sides that the plan requests, fed with these outcomes (then zeros), until it stops."""
    feed, sizes = iter(outcomes), [(reference.n, explored.n)]
    while True:
        wanted = made.next(reference, explored)
        if wanted == sizes[-1]:
            return sizes
        assert wanted[0] >= sizes[-1][0]
        assert wanted[1] >= sizes[-1][1]
        sizes.append(wanted)
        reference, explored = (
            side if side.known is not None or more == side.n
            else Tally(more, min(more, side.total + sum(next(feed, 0.0) for _ in range(more - side.n))))
            for side, more in zip((reference, explored), wanted, strict=True)
        )  # fmt: skip


streams = st.lists(st.sampled_from([0.0, 1.0]) | st.floats(0, 1), max_size=50)


@REPEATABLE
@given(streams, st.sampled_from([1 / 10, 1 / 60, 1 / 150, 1e-6]))
def test_a_plan_ends_within_its_bound(outcomes: list[float], price: float) -> None:
    sizes = walk(plan(0.0, 0.05, 24, price), outcomes)
    assert max(sizes[-1]) <= 24
    assert len(set(sizes)) == len(sizes)


@REPEATABLE
@given(streams, st.sampled_from([0.0, 1 / 3, 1.0]))
def test_a_known_side_is_never_sampled(outcomes: list[float], known: float) -> None:
    sizes = walk(plan(0.0, 0.05, 24, 1e-4, None, known), outcomes, explored=Tally(known=known))
    assert {n for _, n in sizes} == {0}
    sizes = walk(plan(0.0, 0.05, 24, 1e-4, known, None), outcomes, reference=Tally(known=known))
    assert {m for m, _ in sizes} == {0}
    both = plan(0.0, 0.05, 24, 1e-4, 0.0, known)
    assert both.next(Tally(known=0.0), Tally(known=known)) == (0, 0)


def test_a_higher_price_promises_less_and_gives_up_earlier() -> None:
    plans = [plan(0.0, 0.05, 24, 1 / worth) for worth in (1000, 150, 60, 10, 2)]
    values = [made.value(Tally(), Tally()) for made in plans]
    assert values == sorted(values, reverse=True)
    lengths = [sum(walk(made, [])[-1]) for made in plans]  # nothing ever succeeds
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > lengths[2] > 0
    assert (values[-1], lengths[-1]) == (0.0, 0)


@pytest.mark.parametrize(("m", "n"), [(9, 0), (11, 3), (3, 9), (13, 16), (24, 23)])
def test_a_side_that_a_budget_left_between_two_looks_goes_on_to_the_next(m: int, n: int) -> None:
    made, at = plan(0.0, 0.05, 24, PRICE), looks(24)
    reference, explored = Tally(m, m // 2), Tally(n, 0)
    wanted = made.next(reference, explored)
    odd = 0 if m not in at else 1
    assert wanted[odd] == min(look for look in at if look > (m, n)[odd])
    assert wanted[1 - odd] == (m, n)[1 - odd]


@REPEATABLE
@given(st.integers(0, 40), st.integers(0, 40), st.floats(0, 1), st.floats(0, 1))
def test_sides_with_more_than_a_plan_takes_are_left_alone(m: int, n: int, p: float, q: float) -> None:
    """A run with a larger `max_rollouts` may have stored more rollouts."""
    reference, explored = Tally(m, p * m), Tally(n, q * n)
    wanted = plan(0.0, 0.05, 10, 1e-4).next(reference, explored)
    assert (m <= wanted[0] <= 10) if m <= 10 else wanted[0] == m
    assert (n <= wanted[1] <= 10) if n <= 10 else wanted[1] == n


def test_partial_outcomes_that_only_round_to_a_proof_are_not_left_there() -> None:
    """5 of 5 against 1 of 5 is proven; 4.6 against 1.4, which is nearest to it, is not, and is worth more rollouts."""
    made, rule = plan(0.0, 0.05, 24, 1e-4), preset("sequential")
    assert decide(Tally(5, 5), Tally(5, 1), rule).verdict == "deviated"
    assert made.next(Tally(5, 5), Tally(5, 1)) == (5, 5)
    assert decide(Tally(5, 4.6), Tally(5, 1.4), rule).verdict == "undecided"
    assert made.next(Tally(5, 4.6), Tally(5, 1.4)) != (5, 5)
