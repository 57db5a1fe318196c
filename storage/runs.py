"""Run files: which configuration a run had, and how far each of its stages came.

    runs/<run_id>/run.json
    runs/<run_id>/how.json              how its work was last done: the settings that decide nothing of what comes out
    runs/<run_id>/stages/<round>-<stage>.json
    runs/<run_id>/spent.json            what it has paid for rollouts

They are small, written whole, and the only thing in the data folder that changes while a run goes on.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from storage.faults import StorageFault
from storage.files import check_name, write_atomic
from storage.ids import content_id
from storage.shards import BatchRef

StageStatus = Literal["running", "completed", "failed", "crashed", "outdated"]
"""outdated: it was completed, and what it was made from has changed since."""


class RunInfo(BaseModel):
    """What a run is."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    run_id: str
    name: str
    config: dict[str, Any]
    config_digest: str
    created_at: datetime
    package_version: str


class RunExecution(BaseModel):
    """How the work of a run was last done: its execution and budget settings as JSON values. A run whose stage is run
    alone goes on in the same way."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    execution: dict[str, Any]
    budget: dict[str, Any]


class Spent(BaseModel):
    """What a run has paid for its rollouts so far."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    rollouts: int = 0
    tokens: int = 0
    seconds: float = 0.0
    usd: float = 0.0


class StageState(BaseModel):
    """How far one stage of one round came."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    stage: str
    round: int
    stage_key: str
    status: StageStatus
    started_at: datetime
    ended_at: datetime | None = None
    seconds: float | None = None
    batches: tuple[BatchRef, ...] = ()
    before: tuple[BatchRef, ...] = ()  # while it is not complete: see last_whole
    calls: tuple[BatchRef, ...] = ()  # the language-model calls behind them
    cached_batches: int = 0  # of `batches`, those that came from the cache
    checkpoint: str | None = None  # digest of the policy that the stage trained or used
    error: str | None = None
    flow_run_id: str | None = None  # Prefect's
    stopped: str | None = None  # which budget ended it early
    spent: Spent | None = None  # what the run has paid for rollouts, up to the end of this stage


def last_whole(state: StageState | None) -> tuple[BatchRef, ...]:
    """The batches of a stage when it was last complete under no limit, also where it was begun again since; () where it
    never was."""
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
        """Write run.json, or return the one that is there for the same configuration.

        `config` is the whole configuration as JSON values. Raises StorageFault where the run exists with another.
        """
        digest = content_id(config)
        if (self.folder / "run.json").exists():
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
        _write(self.folder / "run.json", info)
        return info

    def load(self) -> RunInfo:
        """Raises StorageFault where the run does not exist or its file is damaged."""
        path = self.folder / "run.json"
        if not path.exists():
            known = sorted(file.parent.name for file in (self.root / "runs").glob("*/run.json"))
            raise StorageFault(f"no run {self.run_id} in {self.root}; {known_runs(self.run_id, known)}")
        return _read(path, RunInfo)

    def save_execution(self, execution: RunExecution) -> None:
        """Write, or replace, how the run's work is done."""
        try:
            same = self.execution() == execution
        except StorageFault:  # damaged: it is replaced
            same = False
        if not same:
            _write(self.folder / "how.json", execution)

    def execution(self) -> RunExecution | None:
        """How the run's work was last done; None where 0.3.0 made the run."""
        path = self.folder / "how.json"
        return _read(path, RunExecution) if path.exists() else None

    def save_stage(self, state: StageState) -> None:
        """Write, or replace, the file of one stage of one round."""
        _write(self._stage_path(state.round, state.stage), state)

    def stage(self, round: int, stage: str) -> StageState | None:
        """The state of a stage; None where it never began."""
        path = self._stage_path(round, stage)
        return _read(path, StageState) if path.exists() else None

    def save_spent(self, spent: Spent) -> None:
        """Write, or replace, what the run has paid for rollouts so far."""
        _write(self.folder / "spent.json", spent)

    def spent(self) -> Spent:
        """What the run has paid for rollouts so far."""
        path = self.folder / "spent.json"
        return _read(path, Spent) if path.exists() else Spent()

    def stages(self) -> list[StageState]:
        """Every stage that began, in the order in which they began."""
        states = [_read(path, StageState) for path in (self.folder / "stages").glob("*.json")]
        return sorted(states, key=lambda state: (state.started_at, state.round, state.stage))

    def _stage_path(self, round: int, stage: str) -> Path:
        return self.folder / "stages" / f"{check_name('stage', f'{round}-{stage}')}.json"


def list_runs(root: Path) -> list[RunInfo]:
    """Every run of a data folder, the oldest first."""
    runs = [_read(path, RunInfo) for path in (root / "runs").glob("*/run.json")]
    return sorted(runs, key=lambda run: (run.created_at, run.run_id))


def known_runs(wrong: str, known: Sequence[str]) -> str:
    """What a wrong id may have meant: the runs that are most like it, or the first of them."""
    if len(known) < 2:
        return f"the only one is {known[0]}" if known else "there are no runs yet"
    near = difflib.get_close_matches(wrong, known, n=3, cutoff=0.4) or known[:3]
    return f"there are {len(known)}, e.g. {', '.join(near)}"


def package_version() -> str:
    """The installed version; "source" where the project runs from a checkout that was never installed."""
    try:
        return version("steca-factory")
    except PackageNotFoundError:
        return "source"


def _write(path: Path, model: BaseModel) -> None:
    write_atomic(path, (model.model_dump_json(indent=1) + "\n").encode())


def _read(path: Path, kind: type[M]) -> M:
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise StorageFault(f"run file {path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise StorageFault(f"run file {path} is damaged; delete it and run its run again") from error
