"""Which variations belong to which split."""

from __future__ import annotations

import pytest

from environments.base import EnvironmentFault
from environments.scienceworld.catalog import TASK_TYPES
from environments.scienceworld.splits import SPLITS, variations

PUBLISHED = {"train": 1483, "seen": 194, "unseen": 211}
"""The sizes of ETO's lists. The lists of `train` and `seen` lack some variations that the rule gives."""
LACKING = {
    "train": {
        "grow-fruit": 21,
        "lifespan-longest-lived-then-shortest-lived": 5,
        "power-component": 2,
        "power-component-renewable-vs-nonrenewable-energy": 2,
    },
    "seen": {"boil": 1, "power-component": 2, "power-component-renewable-vs-nonrenewable-energy": 2},
    "unseen": {},
}
UNSEEN_OF_BOIL = (21, 22, 23, 24, 25, 26, 27, 28, 29)
UNSEEN_OF_FIND_PLANT = (225, 226, 227, 228, 229, 230, 231, 232, 233, 234)


def size(*names: str) -> int:
    return sum(len(variations(task_type, split)) for task_type in TASK_TYPES for split in names)


def test_the_sizes_are_those_of_eto_but_for_what_its_lists_lack() -> None:
    assert size("unseen") == PUBLISHED["unseen"]
    assert size("seen") - sum(LACKING["seen"].values()) == PUBLISHED["seen"]
    assert size("train", "validation") - sum(LACKING["train"].values()) == PUBLISHED["train"]


def test_unseen_is_the_list_of_eto() -> None:
    assert variations("boil", "unseen") == UNSEEN_OF_BOIL
    assert variations("find-plant", "unseen") == UNSEEN_OF_FIND_PLANT


def test_no_two_splits_share_a_variation_and_each_lies_in_its_set() -> None:
    for task_type, sizes in TASK_TYPES.items():
        found = [variation for split in SPLITS for variation in variations(task_type, split)]
        assert len(found) == len(set(found))
        assert (
            max(variations(task_type, "seen"))
            < sizes.train + sizes.dev
            <= min(variations(task_type, "unseen"))
        )
        assert min(variations(task_type, "seen")) >= sizes.train
        assert max(found) < sum(sizes[:3])


def test_about_one_training_variation_in_ten_is_held_out() -> None:
    assert 0.07 < size("validation") / size("train", "validation") < 0.13


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(EnvironmentFault, match="no split 'dev'; it has train, validation, seen, unseen"):
        variations("boil", "dev")
