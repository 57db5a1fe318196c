"""What the stages do of what a run needs, and what they say of what it does not: without Prefect, policy or world."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from configs.cache_inputs import run_id_settings
from configs.schema import FactoryConfig
from flows.faults import StageFault
from flows.reporting.progress import Silent
from flows.runs.from_cache import run_from_cache
from flows.runs.run import folder_of
from flows.stage_run import Job, StageRun
from flows.work import chain
from storage.runs import StageState
from storage.shards import BatchRef
from tasks.batch_task import BatchTask
from tasks.caching import results_of
from tests.support.tiny_factory import tiny

SFT = [f"datasets.{name}=false" for name in ("calibrated", "explored_successes", "expert_suffixes")]
RFT = [*SFT, "exploration.samples=2", "datasets.sampled_successes=true"]
GAMES = 3
"""Batches of explored tasks."""


def ref(batch: str, **rows: int) -> BatchRef:
    return BatchRef(
        stage_key=f"{batch}-key",
        batch_id=batch,
        manifest=f"shards/{batch}-key/{batch}.json",
        sha256="0" * 64,
        rows=rows,
    )


class Said(Silent):
    """What was announced and logged."""

    def __init__(self) -> None:
        self.batches, self.lines = 0, list[str]()

    def stage_started(self, stage: str, round: int, batches: int) -> None:
        self.batches = batches

    def log(self, line: str) -> None:
        self.lines.append(line)


class Pretended(StageRun):
    """A stage that notes its batches and runs none. Those of `empty` have no rows."""

    def __init__(self, name: str, config: FactoryConfig, empty: tuple[str, ...] = ()) -> None:
        self.said, self.ran, self.empty = Said(), list[tuple[str, Any]](), empty
        super().__init__(name, config, folder_of(config), 1, False, self.said)

    def upstream(self, stage: str, task: str, *_: Any) -> list[BatchRef]:
        return [ref(f"{task}-{number}", tasks=1) for number in range(GAMES)]

    def checkpoint_of(self, stage: str, round: int) -> str:
        return "c0"

    def run_all(self, jobs: Sequence[Job]) -> list[BatchRef]:
        return [self.pretend(job.task, job.upstream) for job in jobs]

    def pretend(self, task: BatchTask, upstream: Any) -> BatchRef:
        self.ran.append((task.name, upstream))
        rows = {} if task.name in self.empty else {"training_examples": 1, "preference_pairs": 1}
        return ref(f"{task.name}-{len(self.ran)}", **rows)

    def trained(self, ref: BatchRef, acts_next: bool) -> None: ...

    def of(self, task: str) -> list[str]:
        """The batches that a task reads."""
        return [batch.batch_id for name, reads in self.ran if name == task for batch in reads["records"]]


@pytest.mark.parametrize(
    ("changes", "played"),
    [
        (RFT, {"sample": 2 * GAMES}),
        ([*RFT, "datasets.explored_successes=true"], {"explore": GAMES, "sample": 2 * GAMES}),
        (["exploration.samples=1"], {"explore": GAMES, "sample": GAMES}),
        (["training.method=eto"], {"explore": GAMES}),
        (SFT, {}),
    ],
)
def test_greedy_runs_are_played_where_something_needs_them(
    changes: list[str], played: dict[str, int], tmp_path: Path
) -> None:
    stage = Pretended("explore", tiny(tmp_path, *changes))
    chain.explore(stage)
    assert Counter(name for name, _ in stage.ran) == played
    assert stage.said.batches == sum(played.values())


def test_rft_trains_on_sampled_runs_without_greedy_ones(tmp_path: Path) -> None:
    stage = Pretended("train", tiny(tmp_path, *RFT))
    chain.train(stage)
    read = {batch.split("-")[0] for batch in stage.of("assemble")}
    assert {"demonstrate", "sample"} <= read
    assert "explore" not in read


def earlier(config: FactoryConfig, stage: str, *batches: BatchRef) -> None:
    """A stage as an earlier version completed it for the same run."""
    folder = folder_of(config)
    folder.create(config.name, run_id_settings(config))
    state = StageState(
        stage=stage, round=1, stage_key="k", status="completed", started_at=datetime.now(UTC), batches=batches
    )
    folder.save_stage(state)


@pytest.mark.parametrize(
    ("stage", "changes", "batches", "said"),
    [
        ("explore", SFT, [ref("explore-1", trajectories=40), ref("explore-2", trajectories=2)], "42 of trajectories"),
        ("rewards", SFT, [ref("score-1", rollouts=70), ref("decide-1", deviations=12)], "12 of deviations"),
        ("calibrate", ["training.method=eto"], [ref("calibrate-1", calibrations=3)], "3 of calibrations"),
        ("explore", RFT, [ref("explore-1", trajectories=40), ref("sample-1", trajectories=4)], "40 of trajectories"),
    ],
)  # fmt: skip
def test_a_stage_says_what_of_an_earlier_version_no_longer_belongs_to_the_run(
    stage: str, changes: list[str], batches: list[BatchRef], said: str, tmp_path: Path
) -> None:
    config = tiny(tmp_path, *changes)
    earlier(config, stage, *batches)
    done = Pretended(stage, config)
    chain.CHAIN[stage](done)
    (line,) = [line for line in done.said.lines if "earlier version" in line]
    assert f"({said})" in line
    assert "no longer belong to the run" in line
    done.save("completed")
    again = Pretended(stage, config)  # what is gone is said once
    chain.CHAIN[stage](again)
    assert not any("earlier version" in line for line in again.said.lines)


def test_a_stage_without_earlier_batches_says_only_that_it_has_nothing_to_do(tmp_path: Path) -> None:
    stage = Pretended("rewards", tiny(tmp_path, *SFT))
    chain.rewards(stage)
    assert stage.said.lines == ["nothing to do: what this run trains on does not need it"]


def test_a_run_from_the_cache_says_it_too_once(tmp_path: Path) -> None:
    config = tiny(tmp_path, *SFT)
    earlier(config, "rewards", ref("decide-1", deviations=12))
    results_of(tmp_path).mkdir(parents=True)
    lines: list[str] = []
    for _ in range(2):
        assert run_from_cache(config, stages=[("rewards", 1)], log=lines.append)
    assert len(lines) == 1
    assert lines[0].startswith("stage rewards: an earlier version of steca did more here")


def test_an_empty_training_set_says_which_sets_are_on_and_what_to_do(tmp_path: Path) -> None:
    sets = ["datasets.expert_suffixes=false", "datasets.expert_runs=false"]
    stage = Pretended("train", tiny(tmp_path, *sets), empty=("assemble",))
    with pytest.raises(StageFault) as fault:
        chain.train(stage)
    said = str(fault.value)
    assert said.startswith("the training set is empty. Each set that is on gave no example")
    assert "datasets.calibrated: no repair was kept" in said
    assert "datasets.explored_successes: no greedy run" in said
    assert "expert_suffixes" not in said
    assert said.endswith("datasets.expert_runs=true")
    assert [name for name, _ in stage.ran] == ["assemble"]


def test_no_pair_is_a_fault_with_the_reasons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Pretended("train", tiny(tmp_path, "training.method=step_dpo"), empty=("pair",))
    monkeypatch.setattr(stage.resources.shards, "read_batch", lambda ref: [])
    with pytest.raises(
        StageFault, match="step_dpo found no preference pair: no turn is deviated by the rule"
    ) as fault:
        chain.train(stage)
    assert str(fault.value).endswith("Explore more tasks (tasks.exploration), or choose another method")
    assert [name for name, _ in stage.ran] == ["pair"]
