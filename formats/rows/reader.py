"""A run in the published store, open for long reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import duckdb

from configs.load import check
from configs.schema import FactoryConfig
from environments.base import Task
from environments.complete import CompleteWorld
from environments.registry import open_world
from rollouts.prompting import briefing_of
from storage.ids import content_id
from storage.store import Store

MEMORY = "256MB"
"""Memory of DuckDB while it sorts; more goes to files in the folder of the export."""
BATCH = 2048
"""Rows that are fetched at a time."""
BRIEFINGS = 1024
"""Briefings that are kept: several examples of a task follow each other by chance only."""


@dataclass(frozen=True)
class RunReader:
    """One run. Raises StorageFault for what the store does not answer."""

    connection: duckdb.DuckDBPyConnection
    run_id: str
    settings: dict[str, Any]

    def stream(self, sql: str, params: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The rows of a query, a batch at a time. Several streams may be open at once."""
        answer = self.connection.cursor().sql(sql, params=params)
        if answer is None:
            return
        for batch in answer.to_arrow_reader(BATCH):
            names = batch.schema.names
            for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                yield dict(zip(names, values, strict=True))

    def rows(self, sql: str, **params: Any) -> list[tuple[Any, ...]]:
        return self.connection.cursor().execute(sql, params).fetchall()

    @cached_property
    def config(self) -> FactoryConfig:
        """The run's configuration. Raises ConfigFault where this version does not know a setting."""
        return check(self.settings, f"run {self.run_id}")

    @cached_property
    def digest(self) -> str:
        """Content id of all the batches that the run consists of: equal for equal rows."""
        batches = self.rows(
            "SELECT DISTINCT sha256 FROM run_batches WHERE run_id = $run ORDER BY sha256", run=self.run_id
        )
        return content_id([sha for (sha,) in batches])

    @cached_property
    def briefs(self) -> bool:
        """Whether a text precedes the tasks."""
        return self.config.policy.prompt != "plain"

    def briefing(self, head: dict[str, Any]) -> str:
        """The text before the first observation of a row's task. Raises EnvironmentFault if its world is missing."""
        if not self.briefs:
            return ""
        return self._briefing(
            Task(
                *(
                    head[name] or ""
                    for name in ("task_id", "world", "split", "task_type", "instruction", "payload")
                )
            )
        )

    @cached_property
    def _briefing(self) -> Any:
        style = self.config.policy.prompt
        return lru_cache(BRIEFINGS)(lambda task: briefing_of(self.world, task, style))

    @cached_property
    def world(self) -> CompleteWorld:
        return open_world(self.config.environment)


@contextmanager
def reading(
    connection: duckdb.DuckDBPyConnection, run_id: str, settings: dict[str, Any]
) -> Iterator[RunReader]:
    """A reader of a run, whose world is closed at the end."""
    run = RunReader(connection, run_id, settings)
    try:
        yield run
    finally:
        if "world" in run.__dict__:
            run.world.close()


@contextmanager
def open_run(store: Store, run_id: str, scratch: Path) -> Iterator[RunReader]:
    """A run that the store has. `scratch` is the folder for what does not fit into memory."""
    with store.reading(memory_limit=MEMORY, temp_directory=str(scratch)) as connection:
        ((config,),) = connection.execute(
            "SELECT config FROM run_configs WHERE run_id = ?", [run_id]
        ).fetchall()
        with reading(connection, run_id, json.loads(config)) as run:
            yield run
