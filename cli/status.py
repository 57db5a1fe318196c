"""`steca status`: how far the runs of a data folder are, from their run files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Column, Table

from cli.terminal.console import console, say
from configs.stages import BEFORE_ROUNDS, STAGES
from flows.faults import StageFault
from flows.runs.lock import is_locked
from flows.runs.run import skipped_stages
from flows.wording import counted, in_folder, no_runs, nothing_to_do
from storage.ingest.scan import run_files
from storage.runs import RunFolder, RunInfo, StageState, any_runs, run_called


def print_runs(root: Path) -> None:
    """One row per run: when it was started, how far it is, and whether something is outdated."""
    runs, states, unusable = run_files(root)
    if not runs and not unusable:
        say(console(), no_runs(root))
        return
    table = Table(Column("run", no_wrap=True), "started (UTC)", "stages done", "last stage", "status")
    for info in runs:
        stages = sorted((state for run, state in states if run == info.run_id), key=_place)
        done, of = sum(state.status == "completed" for state in stages), _stages_of(info)
        status = _status_of_run(root, info.run_id, stages, complete=done == of)
        last = (stages[-1].stage, status) if stages else ("", status)
        table.add_row(info.run_id, f"{info.created_at:%Y-%m-%d %H:%M}", f"{done} of {of}", *last)
    console().print(table)
    if unusable:
        files = counted(len(unusable), "run file")
        say(console(), f"{files} cannot be read: `steca doctor{in_folder(root)}` lists them")


def _place(state: StageState) -> tuple[int, int]:
    """The place of a stage in the order of the stages."""
    return state.round, STAGES.index(state.stage)


def _stages_of(info: RunInfo) -> int:
    """The number of stages of a whole run."""
    rounds = int(info.config.get("rounds", 1))
    return len(BEFORE_ROUNDS) + rounds * (len(STAGES) - len(BEFORE_ROUNDS))


def _status_of_run(root: Path, run: str, stages: Sequence[StageState], complete: bool) -> str:
    """The status of the first stage that was started and is not completed; else completed or incomplete."""
    unfinished = [status_of(root, run, state) for state in stages if state.status != "completed"]
    if unfinished:
        return unfinished[0]
    return "completed" if complete else "incomplete"


def print_run(root: Path, run: str) -> None:
    """One row per stage, in the order of the stages, of the run that `run_called` finds. Raises StageFault where there
    are no runs, StorageFault where none or several match."""
    if not any_runs(root):
        raise StageFault(no_runs(root))
    folder = RunFolder(root, run_called(root, run))
    info = folder.load()
    skipped = skipped_stages(folder)
    table = Table("stage", "round", "status", "batches", "cached", "seconds", "note", title=info.run_id)
    for state in sorted(folder.stages(), key=_place):
        seconds = "" if state.seconds is None else f"{state.seconds:.1f}"
        batches, cached = str(len(state.batches)), str(state.cached_batches)
        status = status_of(root, info.run_id, state)
        table.add_row(
            state.stage,
            str(state.round or ""),
            status,
            batches,
            cached,
            seconds,
            state.error
            or (nothing_to_do("the run") if (state.stage, state.round) in skipped else _stopped(state)),
        )
    console().print(table)


def _stopped(state: StageState) -> str:
    return f"ended early: {state.stopped}; resumes under a larger budget" if state.stopped else ""


def status_of(root: Path, run: str, state: StageState) -> str:
    """The status of a stage; killed where its status is running but no process works on the run."""
    if state.status == "running" and not is_locked(RunFolder(root, run)):
        return "killed"
    return state.status
