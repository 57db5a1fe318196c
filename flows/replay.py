"""Runs whose every result is there already: found in the cache and filed, without Prefect and its server.

A replay does what the stages do, but it only looks results up. It writes nothing until all of them were found; where
one is missing it leaves everything as it was, and the flows do the work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from configs.schema import FactoryConfig
from flows.chain import CHAIN
from flows.progress import Silent
from flows.run_lock import working_on
from flows.runs import folder_of, how_of, root_of, run_id, schedule
from flows.stage import StageRun
from storage.faults import StorageFault
from storage.records import CheckpointRecord
from storage.runs import RunFolder, StageState
from storage.shards import BatchRef
from storage.store import Store
from tasks.batch import BatchTask, Request


class _Missing(Exception):
    """A result is not in the cache."""


class _Rehearsed(RunFolder):
    """A run's folder whose stages are kept in memory until `commit`."""

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
        """Write what differs from what is there: a stage that was done before keeps its times."""
        for state in self._new.values():
            known = super().stage(state.round, state.stage)
            if known is None or _result(known) != _result(state):
                super().save_stage(state)


class _Lookup(StageRun):
    """A stage that takes every batch from the cache."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._trainings: list[Sequence[CheckpointRecord]] = []

    def estimates(self, forecast: Callable[[], str]) -> None:
        """Nothing will be paid."""

    def draw(self) -> None:
        """The curves, once all is found."""
        for training in self._trainings:
            super()._draw(training)

    def _draw(self, training: Sequence[CheckpointRecord]) -> None:
        self._trainings.append(training)

    def _done(self, task: BatchTask, request: Request) -> tuple[BatchRef, bool]:
        ref = task.find(request, self.resources)
        if ref is None:
            raise _Missing
        return ref, True


def replay(
    config: FactoryConfig,
    run: str = "",
    stages: Sequence[tuple[str, int]] | None = None,
    says: Callable[[str], None] = lambda line: None,
) -> str | None:
    """File a run, or some of its stages, from the cache, and publish it; its id. None where a result is missing or
    damaged. Raises the faults of a configuration that cannot be used, and StageFault where an earlier stage is
    missing."""
    name = run or run_id(config)
    root = root_of(config)
    if not (root / "results").is_dir():
        return None
    with working_on(root, name, says):
        real = RunFolder(root, name)
        rehearsed = _Rehearsed(real)
        found: list[_Lookup] = []
        try:
            for stage, round in stages or schedule(config):
                here = _Lookup(stage, config, rehearsed, round, False, Silent())
                CHAIN[stage](here)
                here.complete()
                found.append(here)
        except (_Missing, StorageFault):
            return None
        folder_of(config, run).save_how(how_of(config))
        rehearsed.commit()
        for here in found:
            here.draw()
        store = Store(root)
        if not store.holds(name, real.stages()):
            store.ingest()
    return name


def _result(state: StageState) -> tuple[object, ...]:
    return state.status, state.batches, state.calls, state.checkpoint, state.stopped
