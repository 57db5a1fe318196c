"""What `steca doctor` finds in a data folder."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flows.curves import TRAININGS
from flows.faults import StageFault
from flows.runs.lock import is_locked, lock_run
from flows.wording import counted, in_folder, no_runs
from models.checkpoint_ref import CheckpointRef, verify_checkpoint
from models.policy import PolicyFault
from storage.faults import StorageFault, UnusableDatabase
from storage.ingest.health import Health
from storage.ingest.scan import SetAside, run_files
from storage.runs import RunFolder
from storage.shards import REDO, RERUN
from storage.store import IngestReport, Store

FindingState = Literal["repaired", "to do", "note"]
KILLED = "its process was killed"
LISTED = 5
"""Damaged files, and batches of one damaged file, that are listed by name."""


@dataclass(frozen=True)
class Finding:
    """Something about a data folder: it was repaired, the user has to do something, or it is only worth knowing."""

    state: FindingState
    subject: str
    message: str


def examine(root: Path, rebuild: bool = False) -> Iterator[Finding]:
    """All findings about a data folder. Raises StageFault where there is none."""
    if not root.is_dir():
        raise StageFault(no_runs(root))
    return Examination(root).findings(rebuild)


class Examination:
    """One examination of a data folder. Run files are read once."""

    def __init__(self, root: Path) -> None:
        self._root, self._health = root, Health(root)
        self._runs, self._states, _ = run_files(root)
        self._stage_of_batch = {  # the newest one
            (ref.stage_key, ref.batch_id): f" (stage {state.stage} of run {run})"
            for run, state in self._states
            for ref in (*state.batches, *state.calls)
        }
        self._renamed: dict[str, list[str]] = {}  # renamed results, by the digest of their batch's manifest

    def findings(self, rebuild: bool) -> Iterator[Finding]:
        yield from self._killed_stages()
        yield from self._spending()
        yield from self._results()
        for file in self._health.set_rollouts_aside():
            message = f"it was damaged: renamed to {file.name}.damaged; its rollouts are played again"
            yield Finding("repaired", self._within(file), message)
        yield from self._store(Store(self._root), rebuild)
        yield from self._checkpoints()
        yield from self._damaged_files()

    def _killed_stages(self) -> Iterator[Finding]:
        """Stages with the status running while no process works on their run."""
        for run, state in self._states:
            if state.status != "running" or is_locked(folder := RunFolder(self._root, run)):
                continue
            with lock_run(folder):
                if folder.stage(state.round, state.stage) != state:  # another process has resumed it
                    continue
                folder.save_stage(state.model_copy(update={"status": "crashed", "error": KILLED}))
            message = f"its status was running, but {KILLED}: marked as crashed; the same command resumes it"
            yield Finding("repaired", f"stage {state.stage} of run {run}", message)

    def _spending(self) -> Iterator[Finding]:
        for run in self._runs:
            try:
                RunFolder(self._root, run.run_id).spent()
            except StorageFault as fault:
                yield Finding(
                    "to do", f"run {run.run_id}", f"{fault}; what it has spent then counts from zero"
                )

    def _results(self) -> Iterator[Finding]:
        if busy := [run.run_id for run in self._runs if is_locked(RunFolder(self._root, run.run_id))]:
            yield Finding("note", "results", f"not checked, because a process works on run {busy[0]} now")
            return
        batches = [batch for shard in self._health.damaged_shards for batch in shard.batches]
        manifests = {batch.ref.sha256 for batch in batches}
        for result in self._health.set_results_aside():
            if result.manifest in manifests:
                self._renamed.setdefault(result.manifest, []).append(self._within(result.path))
                continue
            again = f"Renamed to {result.path.name}.damaged: its batch is computed again when it is needed"
            yield Finding("repaired", self._within(result.path), f"{_after_doctor(result.why)}. {again}")

    def _store(self, store: Store, rebuild: bool) -> Iterator[Finding]:
        outdated = store.published.exists() and store.outdated()
        try:
            report = store.rebuild() if rebuild else store.ingest(always_sweep=True)
        except UnusableDatabase as fault:
            report, rebuild = store.rebuild(), True
            yield Finding("repaired", self._within(store.working), f"{fault}: done")
        except StorageFault as fault:
            yield Finding("to do", self._within(store.working), str(fault))
            yield from self._damaged_shards(frozenset())
            return
        if outdated:
            message = "it was published by an older version: brought up to date"
            yield Finding("repaired", self._within(store.published), message)
        if report.batches and not rebuild:
            many = "1 batch was" if report.batches == 1 else f"{report.batches:,} batches were"
            yield Finding("repaired", "store", f"{many} not in it: ingested and published")
        yield from self._ingested(report)

    def _ingested(self, report: IngestReport) -> Iterator[Finding]:
        for path in report.swept:
            yield Finding("repaired", self._within(path), "left half-written by a killed process: deleted")
        yield from self._damaged_shards({item.file for item in report.set_aside})
        reported = {batch.ref.manifest for shard in self._health.damaged_shards for batch in shard.batches}
        for item in report.set_aside:
            if item.file not in reported:
                message = f"set aside, not in the store: {_after_doctor(item.reason)}"
                yield Finding("to do", self._name(item), message)
        if report.rollout_conflicts:
            query = f'`steca sql "FROM rollout_conflicts"{in_folder(self._root)}`'
            message = f"with different results: one of each is used everywhere; {query} lists the others"
            yield Finding("note", f"{counted(report.rollout_conflicts, 'rollout')} played twice", message)

    def _damaged_shards(self, set_aside: Collection[str]) -> Iterator[Finding]:
        """`set_aside`: the manifests of batches that are not in the store."""
        for shard in self._health.damaged_shards:
            names = [f"{batch.label}{self._stage_of_batch.get(batch.name, '')}" for batch in shard.batches]
            missing = [batch.label for batch in shard.batches if batch.ref.manifest in set_aside]
            if not missing:
                store = "its rows are in the store, but"
            elif len(missing) == len(names):
                store = "set aside, not in the store:"
            else:
                store = f"{_listed(missing)} set aside, not in the store:"
            message = f"{store} {_after_doctor(shard.why)}"
            digests = [batch.ref.sha256 for batch in shard.batches]
            if renamed := [name for digest in digests for name in self._renamed.get(digest, ())]:
                message += f". Cached result renamed to NAME.damaged: {_listed(renamed)}"
            yield Finding("to do", f"{'batch' if len(names) == 1 else 'batches'} {_listed(names)}", message)
        for path, why in self._health.useless_packs():
            yield Finding(
                "note", self._within(path), f"it cannot be read ({why}), and no batch needs it: delete it"
            )

    def _checkpoints(self) -> Iterator[Finding]:
        """Policies of finished trainings that are missing or damaged. A run that met such a one has a failed stage."""
        for run, state in self._states:
            if state.stage not in TRAININGS or not state.checkpoint or state.status == "outdated":
                continue
            ref = CheckpointRef(self._root / "checkpoints" / state.checkpoint[:16], state.checkpoint)
            try:
                verify_checkpoint(ref)
            except PolicyFault:
                option = f" --round {state.round}" if state.round > 1 else ""
                command = f"steca stage {state.stage} --run {run}{option} --force{in_folder(self._root)}"
                message = f"it is missing or damaged; train it again: {command}"
                yield Finding("to do", self._within(ref.path), message)

    def _damaged_files(self) -> Iterator[Finding]:
        if files := self._health.damaged_files():
            names = _listed([self._within(file) for file in files])
            message = f"kept for you to look at; delete what you do not need ({names})"
            yield Finding("note", counted(len(files), "damaged file"), message)

    def _within(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    def _name(self, item: SetAside) -> str:
        if item.stage_key is None or item.batch_id is None:
            return item.file
        return f"batch {item.stage_key}/{item.batch_id}{self._stage_of_batch.get((item.stage_key, item.batch_id), '')}"


def _listed(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = [f"and {len(names) - LISTED:,} more"] if len(names) > LISTED else []
    return ", ".join([*names[:LISTED], *more])


def _after_doctor(why: str) -> str:
    """A problem without the advice to run this command."""
    return why.replace(REDO, f"run {RERUN}")
