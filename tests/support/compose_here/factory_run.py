"""A tiny factory run, started through the worker as the UI starts one, and looked at."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from configs.schema import FactoryConfig
from flows.runs import run_id
from storage.records import RECORDS
from storage.runs import RunFolder
from storage.store import Store
from tests.support.compose_here.stack import Stack, say
from tests.support.prefect_api import FINAL, Api
from tests.support.tiny_factory import tiny


def parameters(config: FactoryConfig) -> dict[str, Any]:
    """What the form of the deployment sends for a whole configuration."""
    return {"config": config.model_dump(mode="json")}


class FactoryRun:
    """The same configuration in a data folder of its own, so that no run takes anything from another."""

    def __init__(self, stack: Stack, name: str) -> None:
        self.stack, self.api = stack, Api(stack.api)
        self.config = tiny(stack.data / name)
        self.folder = RunFolder(self.config.data_dir, run_id(self.config))
        self.id = ""

    def start(self) -> None:
        self.id = self.api.start("factory", **parameters(self.config))

    def wait_for_batch(self, kind: str, seconds: float = 240) -> None:
        """Until the run has written a batch of a kind, such as "score"."""
        deadline = time.monotonic() + seconds
        while not list(self.config.data_dir.glob(f"shards/*/{kind}-*.json")):
            assert time.monotonic() < deadline, f"no batch of {kind} after {seconds:.0f} s"
            time.sleep(0.05)

    def end(self, seconds: float = 300) -> str:
        """The type of its final state. Services that end meanwhile are started again."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for name in self.stack.restart_what_ended():
                say(f"{name} was started again")
            state = self.api.state_if_reachable(self.id)
            if state in FINAL:
                return state
            time.sleep(1)
        raise AssertionError(f"the run is {state} after {seconds:.0f} s")

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows of the run, by table, without when and where they were made."""
        store, run = Store(self.config.data_dir), {"run": run_id(self.config)}
        return {
            record.table: sorted(
                store.query(f"SELECT * EXCLUDE (provenance) FROM of_run('{record.table}', $run)", run)[1],
                key=repr,
            )
            for record in RECORDS
        }

    def stages(self) -> dict[str, str]:
        return {state.stage: state.status for state in self.folder.stages()}

    def batches(self) -> set[Path]:
        return set(self.config.data_dir.glob("shards/*/*.json"))
