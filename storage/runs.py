"""Run files: the configuration of a run, and how far each of its stages is.

    runs/<run_id>/run.json              configuration
    runs/<run_id>/how.json              its execution and budget settings, which do not change results
    runs/<run_id>/stages/<round>-<stage>.json
    runs/<run_id>/spent.json            what it has spent on rollouts

They are small and replaced atomically.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from storage.faults import StorageFault
from storage.files import check_name
from storage.ids import content_id
from storage.json_files import read_model, write_model
from storage.shards import BatchRef

StageStatus = Literal["running", "completed", "failed", "crashed", "outdated"]
"""outdated: it was completed, and its inputs have changed since."""


LISTED = 8
"""Runs that are listed where several match."""


class RunInfo(BaseModel):
    """The identity and configuration of a run."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    run_id: str
    name: str
    config: dict[str, Any]
    config_digest: str
    created_at: datetime
    package_version: str


class RunExecution(BaseModel):
    """The execution and budget settings that a run used last, as JSON values. `steca stage` uses them again."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    execution: dict[str, Any]
    budget: dict[str, Any]


class Spent(BaseModel):
    """What a run has spent on rollouts so far."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    rollouts: int = 0
    tokens: int = 0
    seconds: float = 0.0
    usd: float = 0.0


class StageState(BaseModel):
    """How far one stage of one round is."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    stage: str
    round: int
    stage_key: str
    status: StageStatus
    started_at: datetime
    ended_at: datetime | None = None
    seconds: float | None = None
    batches: tuple[BatchRef, ...] = ()
    before: tuple[BatchRef, ...] = ()  # while it is not complete: see last_complete_batches
    calls: tuple[BatchRef, ...] = ()  # batches with the language-model calls of `batches`
    cached_batches: int = 0  # how many of `batches` came from the cache
    checkpoint: str | None = None  # digest of the policy that the stage trained or used
    error: str | None = None
    flow_run_id: str | None = None  # Prefect's
    stopped: str | None = None  # the budget that ended it early
    spent: Spent | None = None  # what the run had spent on rollouts at the end of this stage


def last_complete_batches(state: StageState | None) -> tuple[BatchRef, ...]:
    """The batches of a stage when it was last completed without a budget ending it, also where it has been started
    again since; () where it never was."""
    if state is None or state.stopped:
        return ()
    return state.batches if state.status in ("completed", "outdated") else state.before


M = TypeVar("M", bound=BaseModel)


class RunFolder:
    """The files of one run under `root`, the data folder."""

    def __init__(self, root: Path, run_id: str) -> None:
        self.run_id = check_name("run id", run_id)
        self.root, self.folder = root, root / "runs" / run_id

    def create(self, name: str, config: dict[str, Any]) -> RunInfo:
        """Write run.json, or return the existing one with the same configuration.

        `config` is the whole configuration as JSON values. Raises StorageFault if the run exists with another one.
        """
        digest = content_id(config)
        if self.exists():
            known = self.load()
            if known.config_digest != digest:
                raise StorageFault(
                    f"run {self.run_id} exists with another configuration: give this one another id"
                )
            return known
        info = RunInfo(
            run_id=self.run_id,
            name=name,
            config=config,
            config_digest=digest,
            created_at=datetime.now(UTC),
            package_version=package_version(),
        )
        write_model(self.folder / "run.json", info)
        return info

    def exists(self) -> bool:
        """Whether the run was created."""
        return (self.folder / "run.json").exists()

    def load(self) -> RunInfo:
        """Raises StorageFault if the run does not exist or its file is damaged."""
        path = self.folder / "run.json"
        if not path.exists():
            known = sorted(file.parent.name for file in (self.root / "runs").glob("*/run.json"))
            raise StorageFault(f"no run {self.run_id} in {self.root}; {known_runs(self.run_id, known)}")
        return read_run_file(path, RunInfo)

    def save_execution(self, execution: RunExecution) -> None:
        """Write, or replace, the execution and budget settings that the run uses."""
        try:
            same = self.execution() == execution
        except StorageFault:  # damaged: it is replaced
            same = False
        if not same:
            write_model(self.folder / "how.json", execution)

    def execution(self) -> RunExecution | None:
        """The execution and budget settings that the run used last; None for a run of version 0.3.0."""
        return self._read_if_there(self.folder / "how.json", RunExecution)

    def save_stage(self, state: StageState) -> None:
        """Write, or replace, the file of one stage of one round."""
        write_model(self._stage_path(state.round, state.stage), state)

    def stage(self, round: int, stage: str) -> StageState | None:
        """The state of a stage; None if it was never started."""
        return self._read_if_there(self._stage_path(round, stage), StageState)

    def save_spent(self, spent: Spent) -> None:
        """Write, or replace, what the run has spent on rollouts so far."""
        write_model(self.folder / "spent.json", spent)

    def spent(self) -> Spent:
        """What the run has spent on rollouts so far."""
        return self._read_if_there(self.folder / "spent.json", Spent) or Spent()

    def stages(self) -> list[StageState]:
        """Every stage that was started, in the order of their starts."""
        states = [read_run_file(path, StageState) for path in (self.folder / "stages").glob("*.json")]
        return sorted(states, key=lambda state: (state.started_at, state.round, state.stage))

    def _read_if_there(self, path: Path, kind: type[M]) -> M | None:
        return read_run_file(path, kind) if path.exists() else None

    def _stage_path(self, round: int, stage: str) -> Path:
        return self.folder / "stages" / f"{check_name('stage', f'{round}-{stage}')}.json"


def any_runs(root: Path) -> bool:
    """Whether a data folder is there and has a run."""
    return any((root / "runs").glob("*/run.json"))


def list_runs(root: Path) -> list[RunInfo]:
    """Every run of a data folder, oldest first. Raises StorageFault if a file is damaged."""
    runs = [read_run_file(path, RunInfo) for path in (root / "runs").glob("*/run.json")]
    return sorted(runs, key=lambda run: (run.created_at, run.run_id))


def run_called(root: Path, wanted: str) -> str:
    """The id of the one run of a data folder that `wanted` means: its id, its name, or the first letters of its id.
    Raises StorageFault where there is none or several match."""
    return choose_run(wanted, _names(root), root)


def choose_run(wanted: str, names: Mapping[str, str], where: Path) -> str:
    """The same among runs whose names are given by their ids."""
    if wanted in names:
        return wanted
    found = [run for run, name in names.items() if name == wanted]
    found = found or [run for run in names if wanted and run.startswith(wanted)]
    if not found:
        raise StorageFault(f"no run {wanted} in {where}; {known_runs(wanted, list(names))}")
    if len(found) > 1:
        listed = ", ".join(found[:LISTED]) + (
            f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
        )
        raise StorageFault(f"{len(found)} runs in {where} match {wanted!r}: {listed}; give more of the id")
    return found[0]


def _names(root: Path) -> dict[str, str]:
    """The name of each run by its id. A run whose file is damaged goes by its id."""
    names = {}
    for path in sorted((root / "runs").glob("*/run.json")):
        try:
            names[path.parent.name] = read_run_file(path, RunInfo).name
        except StorageFault:
            names[path.parent.name] = path.parent.name
    return names


def known_runs(wrong: str, known: Sequence[str]) -> str:
    """Words that name the existing runs whose ids are closest to a wrong one, else the first of them."""
    if len(known) < 2:
        return f"the only one is {known[0]}" if known else "there are no runs yet"
    near = difflib.get_close_matches(wrong, known, n=3, cutoff=0.4) or known[:3]
    return f"there are {len(known)}, e.g. {', '.join(near)}"


def package_version() -> str:
    """The installed version; "source" where the project runs from a checkout without installation."""
    try:
        return version("steca-factory")
    except PackageNotFoundError:
        return "source"


def read_run_file(path: Path, kind: type[M]) -> M:
    """One of the files above. Raises StorageFault if it cannot be read or is damaged."""
    return read_model(path, kind, "run file", "delete it and run its run again")[0]
