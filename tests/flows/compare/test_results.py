"""The figures of a comparison from hand-made episodes, and what a kept file holds."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from flows.compare.picture import draw
from flows.compare.rates import (
    Bin,
    by_length,
    cells,
    costs,
    difference,
    differences,
    length_bins,
    rate,
    recovery,
    set_sizes,
)
from flows.compare.results import Episode, Header, Results, SetSize, StageCost, combined, keep, kept
from flows.compare.tables import tables
from flows.faults import StageFault
from steca.rewards import wilson_interval

WON = {  # by arm and seed: which of the tasks a, b, c, d
    ("warm-up", 0): "", ("warm-up", 1): "a",
    ("SFT", 0): "a", ("SFT", 1): "ab",
    ("STeCa", 0): "abc", ("STeCa", 1): "abcd",
}  # fmt: skip
LENGTHS = {"a": 3, "b": 5, "c": 8, "d": 13}
STARTS = ("beginning", "after_deviation", "before_deviation")


def cost(arm: str, seed: int, stage: str, needed: bool = True, **figures: float | None) -> StageCost:
    row = dict.fromkeys(("episodes", "tokens", "reflections", "llm_calls", "llm_tokens"), 0) | {
        "seconds": 60.0
    }
    return StageCost.model_validate(
        {"arm": arm, "seed": seed, "stage": stage, "round": 1, "needed": needed} | row | figures
    )


def results(seeds: tuple[int, ...] = (0, 1), arms: tuple[str, ...] = ("SFT", "STeCa")) -> Results:
    episodes = [
        Episode(arm, seed, "unseen", start, task, "pick", task in won, 4, length, int(task == "d"))
        for (arm, seed), won in WON.items()
        for start, (task, length) in product(STARTS, LENGTHS.items())
        if seed in seeds and arm in ("warm-up", *arms)
    ]
    sets = [SetSize(arm="STeCa", seed=seed, dataset="calibrated", examples=10 + seed) for seed in seeds]
    spent = [
        charge
        for seed in seeds
        for charge in (
            cost("STeCa", seed, "rewards", episodes=100, tokens=1000),
            cost("STeCa", seed, "calibrate", reflections=7),
            cost("SFT", seed, "rewards", needed=False, episodes=100),
            cost("SFT", seed, "train", seconds=None),
        )
    ]
    header = Header(
        name="pair", reference="SFT", arms={arm: {"x.y": arm} for arm in arms}, package_version="1",
        sets=tuple(sets), costs=tuple(c for c in spent if c.arm in arms),
    )  # fmt: skip
    return Results(header, episodes)


def test_rates_are_pooled_over_seeds() -> None:
    found = rate(results(), "STeCa", "unseen", "beginning")
    assert found
    assert (found.n, found.rate, found.by_seed) == (8, 7 / 8, {0: 0.75, 1: 1.0})
    assert (found.low, found.high) == wilson_interval(7, 8)
    assert rate(results(), "STeCa", "seen", "beginning") is None
    assert cells(results()) == [("unseen", start) for start in STARTS]


def test_a_difference_is_the_arm_minus_the_reference_on_the_same_tasks() -> None:
    found = difference(results(), "STeCa", "unseen", "beginning")
    assert found
    assert (found.mean, found.pairs, found.seeds) == (0.5, 8, 2)
    rows = differences(results())
    assert {(row.arm, row.start, row.measure) for row in rows} == set(
        product(("warm-up", "STeCa"), STARTS, ("success",))
    )
    assert {row.difference for row in rows if row.arm == "warm-up"} == {-0.25}
    assert {row.seeds for row in rows} == {(0, 1)}


def test_with_another_reference_the_sign_changes() -> None:
    turned = results().against("STeCa")
    found = difference(turned, "SFT", "unseen", "beginning")
    assert found
    assert found.mean == -0.5
    with pytest.raises(StageFault, match="there is no arm RFT; known: SFT, STeCa"):
        results().against("RFT")


def test_the_mean_reward_is_compared_as_success_is() -> None:
    assert not results().graded, "rewards of 0 and 1 say the same as success"
    plain = results()
    half = [e._replace(outcome=1.0 if e.success else 0.5) for e in plain.episodes]
    graded = Results(plain.header, half)
    assert graded.graded
    found = rate(graded, "SFT", "unseen", "beginning", "reward")
    assert found
    assert (found.n, found.rate, found.by_seed) == (8, (3 + 5 * 0.5) / 8, {0: 0.625, 1: 0.75})
    assert (found.low, found.high) == wilson_interval(5.5, 8)
    assert rate(graded, "SFT", "unseen", "beginning") == rate(plain, "SFT", "unseen", "beginning")
    paired = difference(graded, "STeCa", "unseen", "beginning", "reward")
    assert paired
    assert paired.mean == 0.25
    assert {(row.measure, row.difference) for row in differences(graded) if row.arm == "STeCa"} == {
        ("success", 0.5),
        ("reward", 0.25),
    }
    titles = [table.title.split(" on ")[0] for table in tables(graded)]
    assert titles[:4] == ["Success", "Mean reward", "Success", "Mean reward"]
    assert "Mean reward" not in str([table.title for table in tables(plain)])


def test_lengths_of_the_expert_make_three_bins() -> None:
    bins = length_bins(results())
    assert bins == [Bin(3, 5), Bin(8, 8), Bin(13, 13)]
    assert [str(each) for each in bins] == ["3 to 5 steps", "8 steps", "13 steps"]
    short = by_length(results(), "SFT", bins[0])
    assert short
    assert (short.n, short.rate) == (4, 0.75)


def test_recovery_counts_episodes_with_an_invalid_action() -> None:
    found = recovery(results(), "STeCa")
    assert found
    assert (found.n, found.rate) == (2, 0.5)


def test_sets_and_costs_are_means_over_seeds_of_what_an_arm_needs() -> None:
    assert set_sizes(results(), "STeCa") == {"calibrated": 10.5}
    assert set_sizes(results(), "SFT") == {}
    found = costs(results(), "STeCa")
    assert (found["rollouts"], found["tokens"], found["reflections"], found["minutes"]) == (100, 1000, 7, 2.0)
    alone = costs(results(), "SFT")
    assert alone["rollouts"] == 0
    assert "minutes" not in alone, "a stage whose time is unknown"


def test_a_kept_file_has_everything(tmp_path: Path) -> None:
    file = keep(results(), tmp_path / "new" / "folder")
    assert file.name == "pair.parquet"
    again = kept(file)
    assert again.header == results().header
    assert list(again.episodes) == list(results().episodes)


def test_kept_files_of_other_seeds_and_arms_add_up(tmp_path: Path) -> None:
    parts = [results((0,)), results((1,))]
    whole = combined(parts)
    assert differences(whole) == differences(results())
    assert costs(whole, "STeCa") == costs(results(), "STeCa")
    arms = combined([results(arms=("SFT",)), results(arms=("STeCa",))])
    assert sorted(arms.episodes) == sorted(results().episodes)
    with pytest.raises(StageFault, match="two files hold arm SFT of seed 0"):
        combined([results((0,)), results((0,))])
    with pytest.raises(StageFault, match="other references"):
        combined([results((0,)), results((1,)).against("STeCa")])
    other = results((1,))
    changed = other.header.model_copy(update={"arms": other.header.arms | {"SFT": {}}})
    with pytest.raises(StageFault, match="other settings for arm SFT"):
        combined([results((0,)), Results(changed, other.episodes)])


def test_a_part_keeps_reference_and_warm_up() -> None:
    part = results().part(["STeCa"], [1])
    assert part.rows == ["warm-up", "SFT", "STeCa"]
    assert part.seeds == [1]
    assert {size.seed for size in part.header.sets} == {1}


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(StageFault, match="holds no kept comparison"):
        kept(tmp_path / "text.parquet")
    with pytest.raises(StageFault, match="there is no file"):
        kept(tmp_path / "nowhere.parquet")


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_the_picture_is_the_same_each_time(ending: str, tmp_path: Path) -> None:
    files = [tmp_path / f"{n}.{ending}" for n in (1, 2)]
    for file in files:
        draw(results(), file)
    assert files[0].read_bytes() == files[1].read_bytes()
    if ending == "svg":
        text = files[0].read_text()
        assert all(word in text for word in ("STeCa", "SFT", "warm-up", "unseen, beginning"))
