"""Runs whose results are all in the cache: found and recorded without Prefect and its server.

The stages run as usual, but every batch is only looked up. Nothing is written until all of them are found. Where one is
missing, everything stays as it is, and the flows do the work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from configs.data_folder import url_of
from configs.schema import FactoryConfig
from configs.stages import schedule
from flows.reporting.progress import Silent
from flows.runs.lock import lock_run
from flows.runs.run import folder_of, open_run
from flows.stage_run import Job, StageRun
from flows.work.chain import CHAIN
from storage.faults import StorageFault
from storage.records import CheckpointRecord
from storage.remote import mirrors
from storage.runs import RunFolder, StageState
from storage.shards import BatchRef
from storage.store import Store
from tasks.batch import BatchContext, Request
from tasks.batch_task import BatchTask
from tasks.caching import results_of


class _Missing(Exception):
    """A result is not in the cache."""


class _Uncommitted(RunFolder):
    """A run's folder that keeps the states of stages in memory until `commit`."""

    def __init__(self, folder: RunFolder) -> None:
        super().__init__(folder.root, folder.run_id)
        self._new: dict[tuple[int, str], StageState] = {}

    def save_stage(self, state: StageState) -> None:
        self._new[state.round, state.stage] = state

    def stage(self, round: int, stage: str) -> StageState | None:
        return self._new.get((round, stage)) or super().stage(round, stage)

    def stages(self) -> list[StageState]:
        there = {(state.round, state.stage): state for state in super().stages()}
        return list((there | self._new).values())

    def commit(self) -> None:
        """Write the states that differ from those on disk: a stage that was done before keeps its times."""
        for state in self._new.values():
            known = super().stage(state.round, state.stage)
            if known is None or _result(known) != _result(state):
                super().save_stage(state)


class _Lookup(StageRun):
    """A stage that takes every batch from the cache."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._trainings: list[Sequence[CheckpointRecord]] = []
        self.changes: list[str] = []

    def estimates(self, forecast: Callable[[], str]) -> None:
        """Lookups cost nothing."""

    def log_change(self, line: str) -> None:
        """Kept until everything is found: only then is anything changed."""
        self.changes.append(f"stage {self.name}: {line}")

    def refuse(self, why: str) -> NoReturn:
        """The flow says why, and files the stage as failed."""
        raise _Missing

    def draw(self) -> None:
        """Draw the curves, once everything is found."""
        for training in self._trainings:
            super()._draw(training)

    def _draw(self, training: Sequence[CheckpointRecord]) -> None:
        self._trainings.append(training)

    def _at_once(self, jobs: Sequence[Job]) -> int:
        return 1

    def _runner(self) -> None:
        """Nothing is made, here or elsewhere."""

    def _run_or_look_up(
        self, task: BatchTask, request: Request, context: BatchContext, label: str
    ) -> tuple[BatchRef, bool]:
        ref = task.find(request, self.resources)
        if ref is None:
            raise _Missing
        return ref, True


def run_from_cache(
    config: FactoryConfig,
    run: str = "",
    stages: Sequence[tuple[str, int]] | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> str | None:
    """Record a run, or some of its stages, from the cache, and publish it. Returns its id; None if a result is
    missing or damaged. Raises the faults of a configuration that cannot be used, and StageFault where an earlier stage
    is missing."""
    folder = folder_of(config, run)
    if url_of(folder.root) is None and not results_of(folder.root).is_dir():
        return None
    with lock_run(folder, log):
        mirrors.pull(folder.root)
        uncommitted = _Uncommitted(folder)
        try:
            found = [
                _looked_up(name, round, config, uncommitted)
                for name, round in stages or schedule(config.rounds)
            ]
        except (_Missing, StorageFault):
            return None
        open_run(folder, config)
        uncommitted.commit()
        for stage in found:
            stage.draw()
            for line in stage.changes:
                log(line)
        mirrors.pull_published(folder.root)
        if not Store(folder.root).holds(folder.run_id, folder.stages()):
            mirrors.publish(folder.root)
    return folder.run_id


def missing_stage(config: FactoryConfig, stages: Sequence[tuple[str, int]]) -> tuple[str, int] | None:
    """The first of a run's stages whose results are not all in the cache, with its round; None if all are. The stages
    must begin with the run's first one. Nothing is written."""
    uncommitted = _Uncommitted(folder_of(config))
    for name, round in stages:
        try:
            _looked_up(name, round, config, uncommitted)
        except (_Missing, StorageFault):
            return name, round
    return None


def _looked_up(name: str, round: int, config: FactoryConfig, folder: RunFolder) -> _Lookup:
    stage = _Lookup(name, config, folder, round, False, Silent())
    CHAIN[name](stage)
    stage.complete()
    return stage


def _result(state: StageState) -> tuple[object, ...]:
    return state.status, state.batches, state.calls, state.checkpoint, state.stopped
