"""nDTW against matrices worked out by hand, its properties, and the lexical element distance."""

from __future__ import annotations

from itertools import groupby
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steca.distance import lexical_distance, ndtw
from tests.support.steca_runs import REPEATABLE

actions = st.lists(
    st.sampled_from(["go to shelf 1", "go to shelf 2", "open fridge 1", "look", ""]), min_size=1, max_size=7
)


def numbers(a: str, b: str) -> float:
    return abs(int(a) - int(b))


def differ(a: str, b: str) -> float:
    return float(a != b)


def test_a_three_by_three_matrix() -> None:
    # d:  0 1 3     D:  0 1 4
    #     2 1 1         2 1 2
    #     3 2 0         5 3 1   -> 1 / sqrt(9 + 9)
    assert ndtw(["1", "3", "4"], ["1", "2", "4"], numbers) == pytest.approx(1 / sqrt(18))


def test_unequal_lengths() -> None:
    # d: 1 2   D: 1 3   -> 3 / sqrt(1 + 4)
    assert ndtw(["1"], ["2", "3"], numbers) == pytest.approx(3 / sqrt(5))


def test_the_normaliser_is_the_diagonal_and_not_a_length() -> None:
    # four aligned pairs at distance 1 over a 4 x 3 matrix: 4 / 5
    assert ndtw("abcd", "xyz", differ) == pytest.approx(0.8)


def test_all_three_moves_are_allowed() -> None:
    # x waits for y's extra 9 (one step sideways), then goes on diagonally
    assert ndtw(["1", "2"], ["1", "9", "2"], numbers) == pytest.approx(7 / sqrt(13))
    assert ndtw(["1", "9", "2"], ["1", "2"], numbers) == pytest.approx(7 / sqrt(13))


def test_warping_absorbs_repetition_but_not_order() -> None:
    assert ndtw("aab", "abb", differ) == 0.0
    assert ndtw("aba", "ab", differ) > 0.0


@pytest.mark.parametrize(
    ("x", "y", "side"), [([], ["a"], "target"), (["a"], [], "contrast"), ([], [], "target")]
)
def test_an_empty_sequence_is_an_error(x: list[str], y: list[str], side: str) -> None:
    with pytest.raises(ValueError, match=f"the {side} sequence is empty"):
        ndtw(x, y)


@REPEATABLE
@given(actions, actions)
def test_symmetry(x: list[str], y: list[str]) -> None:
    assert ndtw(x, y) == pytest.approx(ndtw(y, x), abs=1e-12)


@REPEATABLE
@given(actions, actions)
def test_bounds(x: list[str], y: list[str]) -> None:
    assert 0.0 <= ndtw(x, y) <= max(len(x), len(y)) / sqrt(len(x) ** 2 + len(y) ** 2) + 1e-12 < 1.0


@REPEATABLE
@given(actions, actions)
def test_zero_exactly_where_the_sequences_are_equal_up_to_repetition(x: list[str], y: list[str]) -> None:
    merged = [[key for key, _ in groupby(side)] for side in (x, y)]
    for element in (differ, lexical_distance):
        assert (ndtw(x, y, element) == 0.0) == (merged[0] == merged[1])


@REPEATABLE
@given(actions, actions)
def test_an_element_distance_never_below_another_gives_no_smaller_ndtw(x: list[str], y: list[str]) -> None:
    assert ndtw(x, y, lexical_distance) <= ndtw(x, y, differ) + 1e-12


def test_lexical_distance_by_hand() -> None:
    # " ab", "ab " against " ab", "abc", "bc ": one trigram shared, norms sqrt(2) and sqrt(3)
    assert lexical_distance("ab", "abc") == pytest.approx(1 - 1 / sqrt(6))


def test_lexical_distance_orders_actions_as_a_reader_would() -> None:
    put = "put mug 1 in/on shelf 2"
    distances = [
        lexical_distance(put, other)
        for other in (put, "put mug 1 in/on shelf 3", "take mug 1 from shelf 2", "open fridge 1")
    ]
    assert distances == sorted(distances)
    assert len(set(distances)) == 4
    assert distances[1] < 0.25
    assert distances[3] > 0.8


def test_case_and_spaces_do_not_count() -> None:
    assert lexical_distance("Go  to shelf 1 ", "go to shelf 1") == 0.0


def test_an_unparsable_turn_is_far_from_every_action() -> None:
    assert lexical_distance("", "look") == 1.0
    assert lexical_distance("", " ") == 0.0


@REPEATABLE
@given(st.text(max_size=12), st.text(max_size=12))
def test_lexical_distance_is_a_bounded_symmetric_dissimilarity(a: str, b: str) -> None:
    assert 0.0 <= lexical_distance(a, b) <= 1.0
    assert lexical_distance(a, b) == pytest.approx(lexical_distance(b, a), abs=1e-12)
    assert lexical_distance(a, a) == 0.0
