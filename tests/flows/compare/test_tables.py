"""The tables of a comparison."""

from __future__ import annotations

import pytest

from flows.compare.results import Episode, Header, Results, SetSize
from flows.compare.tables import sets_table

ARMS = ("SFT", "RFT", "ETO")


def cells(*sets: tuple[str, str, int]) -> dict[str, list[str]]:
    """The cells of each row of the table of training sets, by the first one. `sets`: arm, part and size."""
    header = Header(
        name="parts",
        reference="SFT",
        arms={arm: {} for arm in ARMS},
        package_version="1",
        sets=tuple(SetSize(arm=arm, seed=0, dataset=part, examples=size) for arm, part, size in sets),
    )
    episodes = [Episode(arm, 0, "unseen", "beginning", "a", "pick", True, 4, 4, 0) for arm in header.arms]
    table = sets_table(Results(header, episodes))
    lines = [(*table.left, *table.right), *table.rows]
    return {first: list(others) for first, *others in lines}


def test_samples_and_pairs_have_a_column() -> None:
    found = cells(
        ("SFT", "expert", 700), ("RFT", "expert", 700), ("RFT", "sampled_success", 950), ("ETO", "pairs", 310)
    )
    assert found["arm"] == ["expert", "sampled", "pairs"]
    assert (found["SFT"], found["RFT"], found["ETO"]) == (
        ["700", "0", "0"],
        ["700", "950", "0"],
        ["0", "0", "310"],
    )


@pytest.mark.parametrize("part", ["mixed", "another_part"])
def test_a_part_that_has_no_short_name_goes_by_its_own(part: str) -> None:
    found = cells(("SFT", "expert", 700), ("RFT", part, 20))
    assert (found["arm"], found["RFT"]) == (["expert", part], ["0", "20"])
