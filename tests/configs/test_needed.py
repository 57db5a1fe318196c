"""Which stages a run needs for what it trains on."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.needed import needed_stages, needs_greedy_runs
from tests.support.tiny_factory import tiny

PARTS = ("calibrated", "explored_successes", "expert_suffixes")
NONE = [f"datasets.{part}=false" for part in PARTS]


@pytest.mark.parametrize(
    ("parts", "stages"),
    [
        ("", ""),
        ("explored_successes", "explore"),
        ("expert_suffixes", "explore rewards"),
        ("calibrated", "explore rewards calibrate"),
        ("calibrated explored_successes expert_suffixes", "explore rewards calibrate"),
    ],
)
def test_a_training_set_needs_the_stages_that_it_is_made_with(
    parts: str, stages: str, tmp_path: Path
) -> None:
    sets = [f"datasets.{part}={'true' if part in parts.split() else 'false'}" for part in PARTS]
    assert needed_stages(tiny(tmp_path, "rewards.evidence=needed", *sets)) == set(stages.split())


@pytest.mark.parametrize(
    ("changes", "stages"),
    [
        (["training.method=eto"], "explore"),
        (["training.method=ipr", "rewards.mode=fixed"], "explore rewards"),
        (["training.method=step_dpo", "training.preferences.chosen=expert"], "explore rewards"),
        (["training.method=dpo"], "explore rewards calibrate"),
        ([*NONE, "datasets.sampled_successes=true", "exploration.samples=2"], "explore"),
        ([*NONE, "exploration.samples=2"], "explore"),
        ([*NONE, "rewards.evidence=always"], "explore rewards"),
        ([*NONE, "judge.ask=always", "judge.model=m"], "explore rewards"),
        ([*NONE, "deviation.preset=judge", "judge.model=m"], ""),
    ],
)
def test_a_run_needs_what_its_method_and_its_questions_need(
    changes: list[str], stages: str, tmp_path: Path
) -> None:
    assert needed_stages(tiny(tmp_path, "rewards.evidence=needed", *changes)) == set(stages.split())


@pytest.mark.parametrize(
    ("changes", "greedy"),
    [
        (["datasets.sampled_successes=true"], False),
        ([], False),  # GiGPO's advantages
        (["datasets.sampled_successes=true", "datasets.explored_successes=true"], True),
        (["datasets.expert_suffixes=true"], True),
        (["datasets.calibrated=true"], True),
        (["rewards.evidence=always"], True),
        (["judge.ask=always", "judge.model=m"], True),
        (["training.method=eto"], True),
        (["training.method=ipr", "rewards.mode=fixed"], True),
    ],
)
def test_sampled_runs_need_no_greedy_ones(changes: list[str], greedy: bool, tmp_path: Path) -> None:
    config = tiny(tmp_path, "rewards.evidence=needed", "exploration.samples=2", *NONE, *changes)
    assert needs_greedy_runs(config) is greedy
    assert "explore" in needed_stages(config)
