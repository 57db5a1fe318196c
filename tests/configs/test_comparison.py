"""Comparison files: what they mean, and what is refused before any work starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from configs.comparison import load_comparison
from configs.faults import ConfigFault
from configs.load import load_config
from configs.needed import OF_METHOD, needed_stages
from configs.schema import FactoryConfig
from tests.support.comparisons import ARMS, NONE, comparison_file
from tests.support.tiny_factory import ROOT, TINY


def refused(folder: Path, *overrides: str, **fields: Any) -> str:
    with pytest.raises(ConfigFault) as caught:
        load_comparison(comparison_file(folder, **fields), overrides)
    return str(caught.value)


def test_a_missing_field_is_named_without_the_rest_of_the_file(tmp_path: Path) -> None:
    file = comparison_file(tmp_path)
    file.write_text(file.read_text().replace("arms:", "arm:"))
    with pytest.raises(ConfigFault) as caught:
        load_comparison(file)
    lines = str(caught.value).splitlines()
    assert f"{file}: arms: is missing; allowed: a section with fields" in lines
    assert f"{file}: unknown field arm; did you mean arms?" in lines
    assert not any("rollouts" in line for line in lines)


def test_a_run_and_a_comparison_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match="is the configuration of a run: use `steca run --config"):
        load_comparison(TINY)
    with pytest.raises(ConfigFault, match="is a comparison file: use `steca compare"):
        load_config(comparison_file(tmp_path))


def test_an_arm_is_laid_over_the_base_configuration(tmp_path: Path) -> None:
    arms = {"nested": {"datasets": NONE, "rewards": {"rollouts": 3}}, "dotted": {"rewards.rollouts": 4}}
    comparison = load_comparison(comparison_file(tmp_path, arms=arms, reference="nested"))
    nested, dotted = (comparison.config(arm, 0) for arm in arms)
    assert (nested.rewards.rollouts, nested.rewards.candidates, nested.datasets.calibrated) == (3, 2, False)
    assert (dotted.rewards.rollouts, dotted.rewards.candidates, dotted.datasets.calibrated) == (4, 2, True)
    assert comparison.arms["nested"]["rewards.rollouts"] == 3
    assert list(comparison.arms) == ["nested", "dotted"]


def test_runs_are_named_after_comparison_and_arm(tmp_path: Path) -> None:
    arms = {"SFT+": {"datasets": NONE}, "delta -0.01": {"deviation.delta": -0.01}, "é" * 40: None}
    comparison = load_comparison(comparison_file(tmp_path, arms=arms, reference="SFT+"))
    names = [comparison.config(arm, 3).name for arm in arms]
    assert names == ["pair-sft-plus", "pair-delta-0-01", "pair-arm"]
    assert comparison.config("SFT+", 3).seed == 3


def test_the_configuration_is_found_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "base.yaml").write_text(TINY.read_text())
    file = comparison_file(tmp_path / "below", config="../base.yaml")
    assert load_comparison(file).config("STeCa", 0).tasks.seen == 2


def test_a_number_of_seeds_starts_at_that_of_the_configuration(tmp_path: Path) -> None:
    file = comparison_file(tmp_path, seeds=3, set=["seed=5"])
    assert load_comparison(file).seeds == (5, 6, 7)
    assert load_comparison(file, seeds=2).seeds == (5, 6)
    assert load_comparison(file, seeds=(9, 2)).seeds == (9, 2)
    assert load_comparison(comparison_file(tmp_path, seeds=[4, 1])).seeds == (4, 1)


def test_the_command_line_comes_after_the_file(tmp_path: Path) -> None:
    file = comparison_file(tmp_path, set=["tasks.seen=5", "tasks.unseen=6"])
    config = load_comparison(file, ["tasks.unseen=7"], data_dir=tmp_path / "data").config("SFT", 0)
    assert (config.tasks.seen, config.tasks.unseen, config.data_dir) == (5, 7, tmp_path / "data")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": None}, "name: is missing"),
        ({"name": "Not A Name"}, "name: got 'Not A Name'; allowed: text matching"),
        ({"armss": {}}, "unknown field armss; did you mean arms?"),
        ({"seeds": 0}, "seeds"),
        ({"seeds": [1, 1]}, "seeds: 1, 1: list each seed once"),
        ({"seeds": []}, "seeds"),
        ({"arms": {"one": None}}, "arms: got"),
        ({"arms": 3}, "arms: got 3; allowed: a section with fields"),
        ({"arms": ARMS | {"warm-up": None}}, "'warm-up' cannot name an arm"),
        ({"arms": ARMS | {"a,b": None}}, "'a,b' cannot name an arm"),
        ({"arms": ARMS | {7: None}}, "7 cannot name an arm"),
        ({"reference": "RFT"}, "reference: 'RFT' is not an arm: SFT, STeCa"),
        ({"config": "nowhere.yaml"}, "nowhere.yaml: cannot be read"),
        ({"set": ["tasks.seen"]}, "pair.yaml: set tasks.seen: write it as field=value"),
        ({"set": ["tasks.sen=3"]}, "unknown field tasks.sen; did you mean tasks.seen?"),
        ({"arms": ARMS | {"x": {"datasets.calibratd": 1}}}, "arm x: unknown field datasets.calibratd; did you mean"),
        ({"arms": ARMS | {"x": {"rewards": {"rollouts": 0}}}}, "arm x: rewards.rollouts: got 0; allowed: a whole"),
        ({"arms": ARMS | {"x": {"rewards.mode": "sequential"}}}, "arm x: deviation.preset is paper"),
        ({"arms": ARMS | {"x": {"tasks.unseen": 0}}}, "arm x: evaluation.splits lists unseen, but tasks.unseen is 0"),
        ({"arms": ARMS | {"x": {"seed": 7}}}, "arm x: seed cannot be changed by an arm"),
        ({"arms": ARMS | {"x": {"data_dir": "y"}}}, "arm x: data_dir cannot be changed by an arm"),
        ({"arms": ARMS | {"x": {"rewards.rollouts": 2}}}, "arm x: has the same settings as arm STeCa"),
        ({"arms": ARMS | {"x": {"execution.batch_tasks": 9}}}, "arm x: has the same settings as arm STeCa"),
        (
            {"arms": ARMS | {"x": {"rewards": {"rollouts": 9}, "rewards.rollouts": 8}}},
            "arm x: rewards.rollouts is given twice",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(fields: dict[str, Any], words: str, tmp_path: Path) -> None:
    message = refused(tmp_path, **fields)
    assert words in message
    if "config" not in fields and "set" not in fields:
        assert all(line.startswith(str(tmp_path / "pair.yaml")) for line in message.splitlines())


def test_every_problem_is_a_line(tmp_path: Path) -> None:
    message = refused(
        tmp_path, arms=ARMS | {"x": {"seed": 1, "rewards.rollouts": 0}, "y": {"tasks.seen": -1}}
    )
    assert [line.split("pair.yaml, ")[1].split(":")[0] for line in message.splitlines()] == ["arm x"] * 2 + [
        "arm y"
    ]


def test_a_wrong_option_is_refused(tmp_path: Path) -> None:
    assert "--set tasks.seen: write it as field=value, e.g. --set" in refused(tmp_path, "tasks.seen")
    comparison = load_comparison(comparison_file(tmp_path))
    assert list(comparison.part(["STeCa"]).arms) == ["STeCa"]
    with pytest.raises(ConfigFault, match="there is no arm RFT; known: SFT, STeCa"):
        comparison.part(["RFT"])


@pytest.mark.parametrize(
    "file", sorted((ROOT / "configs" / "compare").glob("*.yaml")), ids=lambda file: file.stem
)
def test_shipped_comparisons_are_accepted(file: Path) -> None:
    comparison = load_comparison(file)
    assert comparison.name == file.stem
    assert comparison.reference in comparison.arms


def shipped() -> dict[str, FactoryConfig]:
    """By file and name, the arms that ship, with the first seed."""
    found = {}
    for file in (ROOT / "configs" / "compare").glob("*.yaml"):
        comparison = load_comparison(file)
        found |= {f"{file.stem}: {arm}": comparison.config(arm, 0) for arm in comparison.arms}
    return found


def test_shipped_arms_play_no_rollouts_for_a_training_set_that_they_do_not_use() -> None:
    """Method ipr has comparisons of its own, and mode fixed plays all rollouts whatever is trained on."""
    wasteful = [
        name
        for name, arm in shipped().items()
        if arm.training.method in OF_METHOD.keys() - {"ipr"}
        and "rewards" in needed_stages(arm)
        and arm.rewards.mode != "fixed"
        and arm.datasets.expert_suffixes
    ]
    assert wasteful == []


def test_shipped_arms_that_compare_a_judge_with_rollouts_play_all_of_them() -> None:
    both = {
        name: arm.rewards.mode
        for name, arm in shipped().items()
        if arm.judges and (arm.rewards.mode == "fixed" or "always" in (arm.judge.ask, arm.rewards.evidence))
    }
    assert both == {"judges: judge": "fixed"}
