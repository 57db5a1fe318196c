"""Settings that exclude each other are refused when a configuration is loaded; runs of older versions still open."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.cache_inputs import run_id_settings
from configs.faults import ConfigFault
from configs.load import load_config
from configs.rules import refuse_conflicts
from configs.schema import FactoryConfig
from flows.runs.run import config_of_run
from storage.runs import RunFolder

PROBABILITY = "datasets.weighting=probability"
SFT = [f"datasets.{name}=false" for name in ("calibrated", "explored_successes", "expert_suffixes")]
IPR = ["training.method=ipr", "rewards.mode=fixed"]
BROKEN = [
    (
        ["tasks.explore_demonstrated=true", "tasks.exploration=30", "tasks.demonstrations=8"],
        "tasks.exploration is 30, but tasks.explore_demonstrated allows only the 8 tasks of tasks.demonstrations",
    ),
    (["tasks.unseen=0"], "evaluation.splits lists unseen, but tasks.unseen is 0"),
    (["evaluation.splits=[hard]"], "evaluation.splits lists hard, but tasks.splits.hard is 0: set tasks.splits.hard"),
    (["evaluation.splits=[train]"], "evaluation.splits lists train, whose tasks are trained on"),
    (
        ["environment.action_format=code", "policy.engine=openai", "policy.constrain=admissible"],
        "policy.constrain is admissible, but environment.action_format is code",
    ),
    (["evaluation.splits=[seen, seen]"], "evaluation.splits lists seen 2 times"),
    (["policy.max_turn_tokens=128", "policy.small.context=128"], "policy.max_turn_tokens is 128, but policy.small"),
    (
        [f"datasets.{name}=false" for name in ("calibrated", "explored_successes", "expert_suffixes", "expert_runs")],
        "datasets leaves nothing to train on",
    ),
    (["warmup.lora={targets: []}"], "warmup.lora.targets is empty"),
    (["training.lora={targets: []}"], "training.lora.targets is empty"),
    (["datasets.sampled_successes=true"], "datasets.sampled_successes is set, but exploration.samples is 0"),
    (
        ["training.method=dpo", "datasets.calibrated=false", "datasets.expert_suffixes=false"],
        "training.method dpo has no pairs",
    ),
    (["training.preferences.beta=0.2"], "training.preferences.beta is set, but training.method is likelihood"),
    (
        ["training.method=eto", "training.preferences.margin=0.2"],
        "training.preferences.margin is set, but training.method is eto: leave it empty, or set the method to ipr",
    ),
    (
        [*IPR, "training.preferences.chosen=expert"],
        "training.preferences.chosen is set, but training.method is ipr",
    ),
    (["training.method=eto", "training.start=base"], "training.method is eto, but training.start is base"),
    (["training.method=eto", "training.loss=mean"], "training.method is eto, which compares sums over tokens"),
    (["training.method=ipr"], "training.method is ipr, which compares means of N rollouts, but rewards.mode is cur"),
    (
        ["training.method=step_dpo", "deviation.preset=every_failure"],
        "training.method step_dpo prefers turns of rollouts, but deviation.preset is every_failure, which plays none",
    ),
    (
        ["deviation.preset=every_failure", "calibration.choose=gap"],
        "calibration.choose is gap, which needs step rewards",
    ),
    (
        ["deviation.preset=first_failure", "datasets.weighting=probability"],
        "datasets.weighting is probability, which needs step rewards",
    ),
    (
        ["deviation.preset=judge", "judge.model=m", "calibration.choose=gap"],
        "calibration.choose is gap, which needs step rewards",
    ),
    (
        ["deviation.preset=paper", "rewards.mode=curtailed", "deviation.suffixes=every", PROBABILITY],
        "datasets.weighting is probability, but with deviation.suffixes every no rollouts are played for D_s",
    ),
    (
        ["deviation.preset=every_failure", "datasets.expert_suffixes=false", PROBABILITY],
        "datasets.weighting is probability, which needs step rewards",
    ),
    (
        ["training.method=dpo", "deviation.preset=every_failure", "calibration.choose=value"],
        "calibration.choose is value, which needs step rewards",
    ),
    (["deviation.preset=judge"], "deviation.preset is judge: name the language model that judges"),
    (["judge.ask=always"], "judge.ask is always: name the language model that judges"),
]  # fmt: skip
FINE = [
    ["tasks.explore_demonstrated=true", "tasks.exploration=8", "tasks.demonstrations=8"],
    ["tasks.exploration=30", "tasks.demonstrations=8"],
    ["tasks.unseen=0", "evaluation.splits=[seen]"],
    ["tasks.splits={hard: 3}", "evaluation.splits=[hard, unseen]"],
    ["evaluation.splits=[]", "tasks.seen=0"],
    ["policy.max_turn_tokens=128", "policy.small.context=128", "policy.base=/a/model"],
    ["datasets.calibrated=false", "datasets.explored_successes=false", "datasets.expert_suffixes=false"],
    ["training.lora={targets: [q_proj]}"],
    ["exploration.samples=4", "datasets.sampled_successes=true", "training.start=base"],
    ["exploration.samples=8"],
    ["training.method=eto", "training.preferences.beta=0.2", "rounds=3"],
    [
        "training.method=eto",
        *(
            f"datasets.{name}=false"
            for name in ("calibrated", "explored_successes", "expert_suffixes", "expert_runs")
        ),
    ],
    [*IPR, "training.preferences={preset: release, margin: 0.1, reference: current}"],
    ["training.method=step_dpo"],
    ["training.method=step_dpo", "deviation.preset=every_failure", "training.preferences.chosen=expert"],
    ["training.method=step_dpo", "deviation.preset=every_failure", "rewards.evidence=always"],
    ["training.method=dpo", "datasets.calibrated=false"],
    ["deviation.preset=every_failure", "calibration.choose=gap", "rewards.evidence=always"],
    ["deviation.preset=every_failure", "datasets.weighting=probability", "rewards.mode=fixed"],
    ["deviation.preset=every_failure", "calibration.choose=random"],
    ["calibration.choose=gap", "datasets.weighting=probability"],
    ["deviation.preset=judge", "judge.model=m", "rewards.mode=curtailed"],
    ["judge.ask=always", "judge.model=m"],
    ["training.method=eto", "deviation.preset=judge"],  # asks no judge
    *(
        [*unused, "deviation.preset=every_failure", "calibration.choose=gap", PROBABILITY]
        for unused in (["training.method=eto"], SFT)
    ),
    ["training.method=dpo", "deviation.preset=every_failure", PROBABILITY],  # weighs no pair
    [*IPR, "deviation.suffixes=every", PROBABILITY],
    ["deviation.suffixes=every", PROBABILITY, "rewards.evidence=always"],
    ["deviation.suffixes=every", PROBABILITY, "datasets.expert_suffixes=false"],
    ["deviation.preset=every_failure", "datasets.calibrated=false", PROBABILITY],  # D_s has rollouts
    ["calibration.reflector=policy"],
]


@pytest.mark.parametrize(("overrides", "said"), BROKEN, ids=lambda value: None)
def test_settings_that_exclude_each_other_are_refused(overrides: list[str], said: str) -> None:
    with pytest.raises(ConfigFault) as fault:
        load_config(None, overrides)
    assert str(fault.value).startswith(f"configuration: {said}")
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize("overrides", FINE, ids=lambda value: None)
def test_settings_that_go_together_are_not(overrides: list[str]) -> None:
    load_config(None, overrides)


def test_all_conflicts_are_named_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("tasks: {seen: 0, unseen: 0}\n")
    with pytest.raises(ConfigFault) as fault:
        load_config(file)
    assert [line.partition(":")[0] for line in str(fault.value).splitlines()] == [str(file)] * 2


@pytest.mark.parametrize(("overrides", "_said"), BROKEN, ids=lambda value: None)
def test_a_run_that_an_older_version_accepted_still_opens(
    overrides: list[str], _said: str, tmp_path: Path
) -> None:
    fields: dict[str, object] = {}
    from configs.load import apply, check

    for override in overrides:
        apply(fields, override)
    config = check(fields, "an older version")
    folder = RunFolder(tmp_path, "old-run")
    folder.create(config.name, run_id_settings(config))
    assert run_id_settings(config_of_run(tmp_path, "old-run")) == run_id_settings(config)


def test_the_configurations_that_come_along_have_no_conflicts() -> None:
    root = Path(__file__).parents[2]
    for file in (*root.glob("configs/*.yaml"), root / "tests/support/tiny.yaml"):
        load_config(file)
    refuse_conflicts(FactoryConfig(), "defaults")
