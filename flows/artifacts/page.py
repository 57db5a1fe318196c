"""A page of a run, and what the pages are made from: the published store and the run's files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from configs.faults import ConfigFault
from configs.schema import FactoryConfig
from configs.stages import round_of
from flows.runs.run import config_of_run
from storage.runs import RunFolder, StageState
from storage.store import Store


@dataclass(frozen=True)
class Page:
    """A markdown artifact. Pages with equal keys are versions of one page."""

    key: str
    description: str
    markdown: str


def page_key(*parts: str) -> str:
    """The key of a page: Prefect takes lower-case letters, digits and dashes only."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")


def stage_key(run_id: str, stage: str, round: int) -> str:
    """The key of a stage's page."""
    at = round_of(stage, round)
    return page_key(run_id, stage, *((str(at),) if at else ()))


class RunSource:
    """One run: its rows in the published store, and its files."""

    def __init__(self, root: Path, run_id: str) -> None:
        self.store, self.folder, self.run_id = Store(root), RunFolder(root, run_id), run_id

    def rows(self, sql: str, **params: object) -> list[tuple[Any, ...]]:
        """The rows of a query about the run, which is `$run` in it. Raises StorageFault."""
        return self.store.query(sql, {"run": self.run_id, **params})[1]

    def stage(self, stage: str, round: int) -> StageState | None:
        """The state of a stage; None if it was never started. Raises StorageFault."""
        return self.folder.stage(round_of(stage, round), stage)

    @cached_property
    def config(self) -> FactoryConfig | None:
        """The run's settings; None where they are those of another version."""
        try:
            return config_of_run(self.folder.root, self.run_id)
        except ConfigFault:
            return None

    @cached_property
    def rounds(self) -> int:
        """The number of rounds that the run has."""
        return int(self.folder.load().config.get("rounds", 1))


def titled(stage: str, round: int) -> str:
    """A stage in words, with its round where it has one."""
    return stage if round_of(stage, round) == 0 else f"{stage}, round {round}"
