"""Cached batches: what a stage may read, which failures are tried again, and locks that die with their holder."""

from __future__ import annotations

import contextvars
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from configs.cache_inputs import ADDED_SINCE_030, cache_key_settings, restricted_config, run_id_settings
from configs.load import apply
from configs.schema import FactoryConfig
from tasks import stage_tasks
from tasks.batch_task import BatchTask
from tasks.caching import make_prefect_task, with_storage
from tasks.prefect_locks import ProcessLocks
from tests.support.tiny_factory import ROOT


def test_a_stage_sees_only_the_settings_in_its_key() -> None:
    config = FactoryConfig()
    seen = restricted_config(config, ("seed", "policy.prompt", "environment"))
    assert (seen.seed, seen.policy.prompt) == (config.seed, config.policy.prompt)
    assert seen.environment.step_cap == config.environment.step_cap
    for read in (
        lambda: seen.rewards,
        lambda: seen.policy.small,
        lambda: seen.data_dir,
        lambda: seen.environment.demonstrations,  # in keys by its content
    ):
        with pytest.raises(AttributeError):
            read()
    assert cache_key_settings(config, ("seed", "policy.prompt")) == {"seed": 0, "policy": {"prompt": "plain"}}


CHANGED: dict[str, Any] = {
    "environment.action_format": "code",
    "environment.briefing": "Hello.",
    "environment.demonstrations": "runs.jsonl",
    "tasks.splits": "{hard: 3}",
    "policy.thinking": "on",
    "policy.max_thinking_tokens": 2048,
    "exploration.samples": 2,
    "exploration.temperature": 0.5,
    "deviation.probability": 0.7,
    "deviation.suffixes": "means",
    "rewards.scorer": "/models/scorer",
    "calibration.choose": "gap",
    "calibration.repairs": 9,
    "judge.ask": "always",
    "judge.model": "gpt-4o",
    "judge.temperature": 0.5,
    "judge.max_tokens": 99,
    "judge.attempts": 1,
    "datasets.sampled_successes": True,
    "training.method": "ipr",
    "training.start": "base",
    "training.preferences.beta": 1.0,
    "training.preferences.sft_weight": 1.0,
    "training.preferences.reference": "warmup",
    "training.preferences.margin": 0.2,
    "training.preferences.preset": "paper",
    "training.preferences.chosen": "expert",
}
"""For every setting added since 0.3.0 a value that enters keys."""


def leaves(settings: dict[str, Any], at: str = "") -> dict[str, Any]:
    """Values by their dotted names."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= leaves(value, f"{at}{name}.") if isinstance(value, dict) else {at + name: value}
    return found


def test_settings_that_mean_what_0_3_0_did_are_in_no_key() -> None:
    """Nor are sections that have no other settings."""
    said = run_id_settings(FactoryConfig())
    assert set(leaves(said)) & set(ADDED_SINCE_030) == set()
    assert "exploration" not in said
    assert said["environment"]["options"] == {}
    assert "preferences" not in cache_key_settings(FactoryConfig(), ["training"])["training"]
    other = run_id_settings(FactoryConfig.model_validate({"exploration": {"samples": 2}}))
    assert other["exploration"] == {"samples": 2}


STAGE_TASKS = [each for each in vars(stage_tasks).values() if isinstance(each, BatchTask)]


@pytest.mark.parametrize("task", STAGE_TASKS, ids=lambda task: task.name)
def test_no_stage_can_read_a_setting_that_is_not_in_its_key(task: BatchTask) -> None:
    """With values that differ from those of version 0.3.0, which are left out of keys."""
    assert set(CHANGED) == set(ADDED_SINCE_030)
    assert all(CHANGED[name] != value for name, value in ADDED_SINCE_030.items())
    settings: dict[str, Any] = {}
    for name, value in CHANGED.items():
        apply(settings, f"{name}={value}")
    config = FactoryConfig.model_validate(settings)

    def check(section: BaseModel, key: dict[str, Any]) -> None:
        assert section.__dict__.keys() == key.keys()
        for name, value in section.__dict__.items():
            if isinstance(value, BaseModel):
                check(value, key[name])

    check(restricted_config(config, task.reads), cache_key_settings(config, task.reads))


def test_where_and_how_the_work_is_done_is_no_part_of_the_outcome() -> None:
    said = run_id_settings(FactoryConfig())
    assert not {"execution", "data_dir", "name"} & set(said)
    assert {"seed", "environment", "tasks", "deviation"} <= set(said)


class Calls:
    """A batch body that counts its calls and fails as told."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.made = 0
        self.gate = threading.Event()

    def __call__(self, inputs: dict[str, Any], resources: Any) -> dict[str, Any]:
        self.made += 1
        if self.errors:
            raise self.errors.pop(0)
        self.gate.wait(0.3)
        return {"said": inputs["x"]}


def test_equal_inputs_and_version_are_cached_and_work_is_not_looked_at(
    prefect_api: str, tmp_path: Path
) -> None:
    calls = Calls()
    first = with_storage(make_prefect_task("toy", "1", calls), tmp_path, refresh=False, label="toy 1/1")
    assert first({"x": 1}, object()) == first({"x": 1}, threading.Lock()) == {"said": 1}
    assert calls.made == 1
    assert first({"x": 2}, None) == {"said": 2}
    assert calls.made == 2
    assert with_storage(make_prefect_task("toy", "2", calls), tmp_path, refresh=False, label="toy 1/1")(
        {"x": 1}, None
    ) == {"said": 1}
    assert calls.made == 3
    with_storage(make_prefect_task("toy", "1", calls), tmp_path, refresh=True, label="toy 1/1")(
        {"x": 1}, None
    )
    assert calls.made == 4


def test_a_transient_failure_is_tried_again_and_bad_input_is_not(prefect_api: str, tmp_path: Path) -> None:
    flaky = Calls(ConnectionError("refused"))
    assert with_storage(make_prefect_task("flaky", "1", flaky), tmp_path, refresh=False, label="toy 1/1")(
        {"x": 1}, None
    ) == {"said": 1}
    assert flaky.made == 2
    bad = Calls(ValueError("unusable"))
    with pytest.raises(ValueError, match="unusable"):
        with_storage(make_prefect_task("bad", "1", bad), tmp_path, refresh=False, label="toy 1/1")(
            {"x": 1}, None
        )
    assert bad.made == 1


def test_equal_batches_at_the_same_time_run_once(prefect_api: str, tmp_path: Path) -> None:
    calls = Calls()
    batch = make_prefect_task("both", "1", calls)
    results: list[dict[str, Any]] = []

    def run() -> None:
        results.append(with_storage(batch, tmp_path, refresh=False, label="toy 1/1")({"x": 1}, None))

    # a copy of the context each: Prefect keeps its settings there, and threads begin with an empty one
    threads = [threading.Thread(target=contextvars.copy_context().run, args=(run,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [{"said": 1}] * 2
    assert calls.made == 1


def test_a_lock_excludes_others_until_it_is_released(tmp_path: Path) -> None:
    mine, other = ProcessLocks(tmp_path), ProcessLocks(tmp_path)
    assert mine.acquire_lock("key", "me")
    assert other.is_locked("key")
    assert not other.acquire_lock("key", "you", acquire_timeout=0.05)
    with pytest.raises(ValueError, match="you holds no lock"):
        other.release_lock("key", "you")
    mine.release_lock("key", "me")
    assert other.acquire_lock("key", "you", acquire_timeout=0.05)


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    held = (
        "import os, sys; from pathlib import Path; from tasks.prefect_locks import ProcessLocks\n"
        f"ProcessLocks(Path({str(tmp_path)!r})).acquire_lock('key', 'dead'); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", held], cwd=ROOT).returncode == -9
    assert (tmp_path / "key.lock").exists()
    assert ProcessLocks(tmp_path).acquire_lock("key", "me", acquire_timeout=1)
