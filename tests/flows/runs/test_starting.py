"""Where a run starts, and what a changed setting shares with the run that it was changed in."""

from __future__ import annotations

import pytest

from configs.schema import FactoryConfig
from configs.stages import schedule
from flows.faults import StageFault
from flows.runs.derived import known_run, with_changes
from flows.runs.run import config_of_run, folder_of, run_id
from flows.runs.starting import missing_before, require_before, stages_from
from storage.faults import StorageFault
from tests.support.tiny_factory import tiny


def test_a_start_is_a_stage_of_a_round() -> None:
    assert stages_from(None, 1, 2) == schedule(2)
    assert stages_from("train", 2, 2) == [("train", 2), ("evaluate", 2)]
    assert stages_from("warmup", 2, 2) == schedule(2)[1:]
    with pytest.raises(StageFault, match="has 1 round, so it cannot start from round 2"):
        stages_from("train", 2, 1)
    with pytest.raises(StageFault, match="there is no stage trian"):
        stages_from("trian", 1, 1)


def test_what_another_run_has_made_is_taken_from_the_cache(copied: FactoryConfig) -> None:
    other = tiny(copied.data_dir, "name=other", "deviation.delta=0.25")
    assert missing_before(other, ("rewards", 1)) is None
    states = {state.stage: state.status for state in folder_of(other).stages()}
    assert states == dict.fromkeys(("demonstrate", "warmup", "explore"), "completed")


def test_what_nobody_has_made_is_missing_and_leaves_no_run(copied: FactoryConfig) -> None:
    other = tiny(copied.data_dir, "warmup.steps=31")
    assert missing_before(other, ("rewards", 1)) == ("warmup", 1)
    with pytest.raises(StageFault, match="cannot start from rewards: stage warmup comes before it"):
        require_before(other, ("rewards", 1))
    assert not folder_of(other).exists()


def test_changes_of_results_make_another_run_and_say_so(copied: FactoryConfig) -> None:
    said: list[str] = []
    changes = ["deviation.delta=-0.5"]
    config, derived = with_changes(copied.data_dir, run_id(copied), changes, ("rewards", 1), said.append)
    assert derived == run_id(config) == run_id(tiny(copied.data_dir, *changes))
    assert len(said) == 1
    assert f"run {run_id(copied)} with deviation.delta=-0.5 is run {derived}" in said[0]
    assert config_of_run(copied.data_dir, derived) == config


@pytest.mark.parametrize(
    "changes", [[], ["execution.batch_tasks=3"], ["budget.rollouts=9"], ["deviation.delta=0.5"]]
)
def test_other_changes_stay_in_the_run(copied: FactoryConfig, changes: list[str]) -> None:
    said: list[str] = []
    config, of = with_changes(copied.data_dir, run_id(copied), changes, ("rewards", 1), said.append)
    assert (of, said) == (run_id(copied), [])
    assert config.execution.batch_tasks == (3 if "execution.batch_tasks=3" in changes else 2)


def test_a_change_of_an_earlier_stage_is_refused_and_leaves_no_run(copied: FactoryConfig) -> None:
    before = sorted(copied.data_dir.glob("runs/*"))
    with pytest.raises(StageFault, match="in which stage warmup has to be done before rewards"):
        with_changes(copied.data_dir, run_id(copied), ["warmup.steps=31"], ("rewards", 1), print)
    assert sorted(copied.data_dir.glob("runs/*")) == before


def test_a_round_that_is_not_there_is_refused(copied: FactoryConfig) -> None:
    with pytest.raises(StageFault, match="has 1 round, so there is no round 2"):
        with_changes(copied.data_dir, run_id(copied), ["deviation.delta=0.1"], ("rewards", 2), print)


def test_a_run_is_known_by_id_name_or_as_the_newest(copied: FactoryConfig) -> None:
    for wanted in (run_id(copied), "tiny", "newest"):
        assert known_run(copied.data_dir, wanted) == run_id(copied)
    with pytest.raises(StorageFault, match="no run nobody"):
        known_run(copied.data_dir, "nobody")
    with pytest.raises(StageFault, match="no runs in"):
        known_run(copied.data_dir / "elsewhere", "newest")
