"""`steca doctor`: what is wrong with a data folder; what can be healed is healed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.table import Table

from cli.terminal import console, say, text
from flows.curves import TRAININGS
from flows.faults import StageFault
from flows.run_lock import is_locked, lock_run
from flows.wording import counted, in_folder
from models.policy import PolicyFault
from models.reference import CheckpointRef, verify_checkpoint
from storage.faults import StorageFault, UnusableDatabase
from storage.health import Health
from storage.runs import RunFolder
from storage.scan import SetAside, run_files
from storage.store import IngestReport, Store

FindingState = Literal["healed", "left", "note"]
KILLED = "its process was killed"


@dataclass(frozen=True)
class Finding:
    """Something about the folder: put right, left to the user, or only worth knowing."""

    state: FindingState
    what: str
    told: str


def examine(root: Path, rebuild: bool = False) -> Iterator[Finding]:
    """All that is to be said of a data folder. Raises StageFault where there is none."""
    if not root.is_dir():
        raise StageFault(f"there is no data folder {root}: give the one that you run in with --data-dir")
    health = Health(root)
    yield from _stages(root)
    yield from _spending(root)
    yield from _results(root, health)
    for file in health.set_evidence_aside():
        yield Finding(
            "healed",
            _within(root, file),
            f"it was damaged: renamed to {file.name}.damaged; its rollouts are played again",
        )
    yield from _store(Store(root), rebuild, health)
    yield from _checkpoints(root)
    if kept := health.kept_damaged():
        names = ", ".join(_within(root, file) for file in kept[:5]) + (", ..." if len(kept) > 5 else "")
        yield Finding(
            "note",
            counted(len(kept), "damaged file"),
            f"kept to look at: delete what you do not need ({names})",
        )


def print_findings(root: Path, rebuild: bool) -> bool:
    """Print them as a table. Returns whether the folder is healthy now."""
    out, left = console(), 0
    table = Table("state", "what", "what is wrong, what was done or is to do", show_lines=True)
    table.columns[0].no_wrap = True
    for finding in examine(root, rebuild):
        left += finding.state == "left"
        table.add_row(finding.state, text(finding.what, overflow="fold"), text(finding.told, overflow="fold"))
    if table.row_count:
        out.print(table)
    verdict = f"{counted(left, 'thing')} left to do" if left else "healthy"
    say(out, f"{root}: {verdict}")
    return not left


def _stages(root: Path) -> Iterator[Finding]:
    """Stages that say running while nobody works on them."""
    _, states, _ = run_files(root)
    for run, state in states:
        if state.status != "running" or is_locked(folder := RunFolder(root, run)):
            continue
        with lock_run(folder):
            if folder.stage(state.round, state.stage) != state:  # somebody has taken it up since
                continue
            crashed = state.model_copy(update={"status": "crashed", "error": KILLED})
            folder.save_stage(crashed)
        told = f"it said running, but {KILLED}: marked as crashed; the same command goes on"
        yield Finding("healed", f"stage {state.stage} of run {run}", told)


def _checkpoints(root: Path) -> Iterator[Finding]:
    """Policies of finished trainings that are not there as they were saved."""
    _, states, _ = run_files(root)
    for run, state in states:
        if state.stage not in TRAININGS or not state.checkpoint or state.status != "completed":
            continue
        ref = CheckpointRef(root / "checkpoints" / state.checkpoint[:16], state.checkpoint)
        try:
            verify_checkpoint(ref)
        except PolicyFault:
            option = f" --round {state.round}" if state.round > 1 else ""
            command = f"steca stage {state.stage} --run {run}{option} --force{in_folder(root)}"
            yield Finding(
                "left", _within(root, ref.path), f"it is missing or damaged; train it again: {command}"
            )


def _spending(root: Path) -> Iterator[Finding]:
    runs, _, _ = run_files(root)
    for run in runs:
        try:
            RunFolder(root, run.run_id).spent()
        except StorageFault as fault:
            yield Finding("left", f"run {run.run_id}", f"{fault}: what it has spent then counts from nothing")


def _results(root: Path, health: Health) -> Iterator[Finding]:
    runs, _, _ = run_files(root)
    if busy := [run.run_id for run in runs if is_locked(RunFolder(root, run.run_id))]:
        yield Finding("note", "results", f"not looked at, as a process works on {busy[0]} now")
        return
    for path, why in health.set_results_aside():
        yield Finding(
            "healed",
            _within(root, path),
            f"{why}. Renamed to {path.name}.damaged: the batch is done again when it is needed",
        )


def _store(store: Store, rebuild: bool, health: Health) -> Iterator[Finding]:
    outdated = store.published.exists() and store.outdated()
    try:
        report = store.rebuild() if rebuild else store.ingest()
    except UnusableDatabase as fault:
        report, rebuild = store.rebuild(), True
        yield Finding("healed", _within(store.root, store.working), f"{fault}: done")
    except StorageFault as fault:
        yield Finding("left", _within(store.root, store.working), str(fault))
        return
    if outdated:
        yield Finding(
            "healed",
            _within(store.root, store.published),
            "an older version had published it: brought up to date",
        )
    if report.batches and not rebuild:
        many = "1 batch was" if report.batches == 1 else f"{report.batches:,} batches were"
        yield Finding("healed", "store", f"{many} not in it: ingested and published")
    yield from _reported(store.root, report, health)


def _reported(root: Path, report: IngestReport, health: Health) -> Iterator[Finding]:
    users = _users(root)
    for path in report.swept:
        yield Finding("healed", _within(root, path), "left half-written by a killed process: deleted")
    for item in report.set_aside:
        yield Finding("left", _name(item, users), f"set aside, not in the store: {item.reason}")
    aside = {item.file for item in report.set_aside}
    for batch, why in health.damaged_batches:
        if batch.ref.manifest not in aside:
            yield Finding(
                "left",
                f"batch {batch.label}{users.get(batch.name, '')}",
                f"its rows are in the store, but {why}",
            )
    if report.rollout_conflicts:
        query = f'`steca sql "FROM rollout_conflicts"{in_folder(root)}`'
        played = counted(report.rollout_conflicts, "rollout")
        yield Finding(
            "note",
            f"{played} played twice",
            f"with other results: one of each counts everywhere; {query} lists the others",
        )


def _within(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _name(item: SetAside, users: dict[tuple[str, str], str]) -> str:
    if item.stage_key is None or item.batch_id is None:
        return item.file
    return f"batch {item.stage_key}/{item.batch_id}{users.get((item.stage_key, item.batch_id), '')}"


def _users(root: Path) -> dict[tuple[str, str], str]:
    """By name of a batch: the newest run and stage that is made of it, in words."""
    _, states, _ = run_files(root)
    return {
        (ref.stage_key, ref.batch_id): f" (stage {state.stage} of run {run})"
        for run, state in states
        for ref in (*state.batches, *state.calls)
    }
