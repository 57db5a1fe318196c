"""A run that version 0.3.0 began goes on under this one."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.schema import FactoryConfig
from configs.stages import STAGES
from environments.alfworld.generation.world import GeneratedAlfworld
from flows.runs.from_cache import run_from_cache
from flows.runs.run import run_id
from flows.stages import STAGE_FLOWS
from storage.runs import RunFolder, StageState
from storage.shards import ShardStore
from storage.store import Store
from tasks.resources.batches_030 import batches_of_030
from tasks.version_030 import never_learned
from tests.support.old_folders import POISONED_030, unpack
from tests.support.tiny_factory import tiny


@pytest.fixture
def old(tmp_path: Path) -> FactoryConfig:
    """A tiny run that 0.3.0 finished."""
    return tiny(unpack("data-0.3.0", tmp_path))


def states(config: FactoryConfig) -> dict[str, StageState]:
    return {state.stage: state for state in RunFolder(config.data_dir, run_id(config)).stages()}


def executed(config: FactoryConfig, stage: str) -> int:
    state = states(config)[stage]
    assert state.status == "completed"
    return len(state.batches) - state.cached_batches


def test_a_finished_run_is_finished(old: FactoryConfig) -> None:
    before = {path: path.read_bytes() for path in old.data_dir.glob("runs/*/stages/*")}
    assert run_from_cache(old) == run_id(old)
    assert {path: path.read_bytes() for path in old.data_dir.glob("runs/*/stages/*")} == before
    assert Store(old.data_dir).query("SELECT count(*) FROM run_summary WHERE deviated > 0")[1] == [(1,)]


def test_another_threshold_takes_over_all_that_does_not_depend_on_it(
    prefect_api: str, old: FactoryConfig
) -> None:
    other = tiny(old.data_dir, "deviation.delta=-0.5")
    for stage in STAGES[:4]:
        STAGE_FLOWS[stage](other)
    assert [executed(other, stage) for stage in STAGES[:3]] == [0, 0, 0]
    assert RunFolder(other.data_dir, run_id(other)).spent().rollouts == 0
    sql = "SELECT DISTINCT delta FROM of_run('deviations', $run)"
    assert Store(other.data_dir).query(sql, {"run": run_id(other)})[1] == [(-0.5,)]


def test_one_stage_of_it_runs_alone(prefect_api: str, old: FactoryConfig) -> None:
    STAGE_FLOWS["calibrate"](run_id(old), force=True, data_dir=str(old.data_dir))
    assert executed(old, "calibrate") == 4
    assert {state.status for state in states(old).values()} == {
        "completed"
    }  # the same rows: nothing is outdated


def test_what_was_not_completed_under_no_limit_is_not_taken_over(old: FactoryConfig) -> None:
    """0.3.0 did not say in a batch whether a budget had cut it."""
    folder, rewards = RunFolder(old.data_dir, run_id(old)), states(old)["rewards"]
    assert any(name.startswith("score-") for name in batches_of_030(old.data_dir))
    for changes in ({"stopped": "budget.rollouts = 7 is spent"}, {"status": "failed"}):
        folder.save_stage(rewards.model_copy(update=changes))
        assert not any(name.startswith("score-") for name in batches_of_030(old.data_dir))
        assert run_from_cache(old) is None
    folder.save_stage(rewards)
    assert run_from_cache(old) == run_id(old)


def test_another_world_takes_nothing_over(old: FactoryConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GeneratedAlfworld, "version", "2")
    assert run_from_cache(old) is None


def test_a_training_without_a_rate_is_not_taken_over(tmp_path: Path) -> None:
    """In 0.3.0 a training of one step had learning rate 0; now it learns."""
    poisoned = tiny(unpack("data-0.3.0-poisoned", tmp_path), "warmup.steps=1", "training.steps=1")
    assert run_id(poisoned) == POISONED_030
    state = states(poisoned)["warmup"]
    assert state.status == "completed"
    assert any(name.startswith("warmup-") for name in batches_of_030(poisoned.data_dir))
    shards = ShardStore(poisoned.data_dir)
    assert never_learned(shards.read_batch(state.batches[0]))
    assert run_from_cache(poisoned, stages=[("demonstrate", 1)]) == run_id(poisoned)
    assert run_from_cache(poisoned, stages=[("warmup", 1)]) is None
