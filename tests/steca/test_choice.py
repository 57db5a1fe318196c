"""Which turns are repaired: hand-made turns."""

from __future__ import annotations

from typing import get_args

from steca.choice import Repairable, chosen, in_order
from steca.vocabulary import RepairChoice

A = Repairable("a", "t1", True, -0.2, 0.4, "3")
B = Repairable("b", "t1", True, -0.8, 0.9, "1")
C = Repairable("c", "t2", False, -0.5, 0.6, "5")
D = Repairable("d", "t2", False, 0.1, 0.3, "2")
E = Repairable("e", "t3", True, None, None, "0")
F = Repairable("f", "t3", False, None, 0.1, "4")
TURNS = [A, B, C, D, E, F]


def names(choose: RepairChoice, wanted: int, one_a_task: bool = False) -> str:
    return "".join(turn.id for turn in chosen(in_order(TURNS, choose), wanted, one_a_task))


def test_of_the_selected_those_with_the_largest_expected_drop_come_first() -> None:
    assert names("verdict", 9) == "bae"
    assert names("verdict", 2) == "ba"


def test_the_largest_expected_drop_whatever_the_verdict() -> None:
    assert names("gap", 3) == "bca"
    assert names("gap", 9) == "bcad", "without rollouts there is no expected drop"


def test_the_lowest_value_of_the_reference_whatever_the_verdict() -> None:
    assert names("value", 3) == "fda"
    assert names("value", 9) == "fdacb", "without rollouts of the reference there is no value"


def test_at_random_verdicts_and_drops_do_not_matter() -> None:
    assert names("random", 9) == "ebdafc", "in the order of the lots"
    assert names("random", 2) == "eb"


def test_one_a_task_is_the_best_of_each() -> None:
    assert names("verdict", 9, one_a_task=True) == "be"
    assert names("gap", 9, one_a_task=True) == "bc"
    assert names("value", 9, one_a_task=True) == "fda"
    assert names("random", 9, one_a_task=True) == "ebd"
    assert names("random", 2, one_a_task=True) == "eb"


def test_equal_drops_are_in_random_order() -> None:
    ties = [Repairable(str(i), f"t{i}", True, -0.5, 0.5, lot) for i, lot in enumerate("7391")]
    assert [turn.id for turn in in_order(ties, "verdict")] == ["3", "1", "0", "2"]


def test_a_larger_number_keeps_what_a_smaller_one_chose() -> None:
    for how in get_args(RepairChoice):
        for n in range(1, 6):
            assert names(how, n + 1).startswith(names(how, n))
