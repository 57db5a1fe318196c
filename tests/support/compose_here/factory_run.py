"""A tiny factory run, started through the worker as the UI starts one, and looked at."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from configs.forms import FIELDS, from_form
from flows.runs.run import run_id
from storage.records import RECORDS
from storage.runs import RunFolder
from storage.store import Store
from tests.support.compose_here.api import ServerApi
from tests.support.compose_here.stack import Stack, say
from tests.support.prefect_api import FINAL
from tests.support.tiny_factory import ROOT, TINY

DEPLOYMENT = "quickstart"


def form() -> tuple[dict[str, Any], list[str]]:
    """What makes the quick start tiny: values of the form's fields, and `changes` for what has no field."""
    settings = dict(_settings(yaml.safe_load(TINY.read_text())))
    fields = {field: settings.pop(name) for field, name in FIELDS.items() if name in settings}
    return fields, [f"{name}={json.dumps(value)}" for name, value in settings.items()]


def _settings(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict) and name != "options":
            yield from _settings(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


class FactoryRun:
    """The same configuration in a data folder of its own, so that no run takes anything from another."""

    def __init__(self, stack: Stack, name: str) -> None:
        self.stack, self.api = stack, ServerApi(stack.api)
        self.fields, self.changes = form()
        source = ROOT / "configs/quickstart.yaml"
        self.config = from_form(source, self.fields, self.changes, stack.data / name)
        self.folder = RunFolder(self.config.data_dir, run_id(self.config))
        self.id = ""

    def start(self) -> None:
        data_dir = str(self.config.data_dir)
        self.id = self.api.start(DEPLOYMENT, changes=self.changes, data_dir=data_dir, **self.fields)

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
