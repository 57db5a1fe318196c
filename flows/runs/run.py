"""From a configuration to its run, and from one stage of a run to the next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs.cache_inputs import run_id_settings
from configs.faults import ConfigFault
from configs.load import apply, check, given_by
from configs.needed import needed_stages
from configs.schema import FactoryConfig
from configs.stages import STAGES, round_of
from flows.faults import StageFault
from flows.wording import counted, in_folder
from storage.ids import content_id
from storage.runs import RunExecution, RunFolder, StageState
from storage.shards import BatchRef

HOW = {"budget", "execution"}
"""Sections that say how the work is done. They do not change results."""


def run_id(config: FactoryConfig) -> str:
    """The run of a configuration. Equal settings are one run, whatever its data folder and batch size."""
    return f"{config.name}-{content_id(run_id_settings(config))[:8]}"


def root_of(config: FactoryConfig) -> Path:
    """The data folder of a configuration, absolute."""
    return config.data_dir.expanduser().resolve()


def check_round(config: FactoryConfig, run: str, round: int) -> None:
    """Raises StageFault if the run has no such round."""
    if not 1 <= round <= config.rounds:
        raise StageFault(f"run {run} has {counted(config.rounds, 'round')}, so there is no round {round}")


def folder_of(config: FactoryConfig, run: str = "") -> RunFolder:
    """The folder of a run by its id, else that of the configuration's own run. Nothing is read or written."""
    return RunFolder(root_of(config), run or run_id(config))


def open_run(folder: RunFolder, config: FactoryConfig) -> None:
    """Create the run where it is new, and record how its work is done from now on. Raises StorageFault."""
    execution = _execution_of(config)
    if folder.run_id == run_id(config):
        folder.create(config.name, run_id_settings(config))
    else:
        folder.load()
    folder.save_execution(execution)


def _execution_of(config: FactoryConfig) -> RunExecution:
    """The execution and budget settings. Paths are made absolute: the next command may come from another folder."""
    how = config.model_dump(mode="json", include=HOW)
    if config.execution.accelerate:
        how["execution"]["accelerate"] = str(config.execution.accelerate.expanduser().absolute())
    return RunExecution(**how)


def config_of_run(data_dir: Path, run: str, changes: Sequence[str] = ()) -> FactoryConfig:
    """The configuration of a known run, with the execution and budget settings of its last start, overridden by
    `changes` ("execution.x=y"). Raises StorageFault, ConfigFault."""
    folder = RunFolder(data_dir.expanduser().resolve(), run)
    info, how = folder.load(), folder.execution()
    settings: dict[str, Any] = {**info.config, "name": info.name, "data_dir": data_dir}
    if how:
        settings |= how.model_dump()
    for change in changes:
        apply(settings, change)
    return check(settings, f"run {run}", given_by(changes, "--set"))


def completed(folder: RunFolder, stage: str, round: int) -> StageState:
    """A finished stage of a run. Raises StageFault with the command to run where it is not there."""
    at = round_of(stage, round)
    state = folder.stage(at, stage)
    if state is not None and state.status == "completed":
        return state
    what = "has not run" if state is None else f"is not complete ({state.status})"
    option = f" --round {at}" if at > 1 else ""
    command = f"steca stage {stage} --run {folder.run_id}{option}{in_folder(folder.root)}"
    raise StageFault(f"stage {stage} of run {folder.run_id} {what}; first run: {command}")


def skipped_stages(folder: RunFolder) -> set[tuple[str, int]]:
    """(stage, round) of the stages that had nothing to do, because nothing that the run trains on needs them. Raises
    StorageFault."""
    empty = [state for state in folder.stages() if state.status == "completed" and not state.batches]
    if not empty:
        return set()
    try:
        needed = needed_stages(config_of_run(folder.root, folder.run_id))
    except ConfigFault:  # settings of another version
        return set()
    return {(state.stage, state.round) for state in empty if state.stage not in needed}


def batches_of(state: StageState, task: str, parts: Sequence[str] | None = None) -> list[BatchRef]:
    """The batches that one task of a stage wrote, in the order of the stage: all, or those of some parts."""
    wanted = [f"{task}-"] if parts is None else [f"{task}-{part}-" for part in parts]
    return [ref for ref in state.batches if ref.batch_id.startswith(tuple(wanted))]


def outdate(folder: RunFolder, stage: str, round: int) -> None:
    """Mark every later stage of the run as outdated, because its upstream rows have changed."""
    if stage == STAGES[-1]:  # nothing depends on evaluations
        return
    at = round_of(stage, round)
    for state in folder.stages():
        order = STAGES.index(state.stage) > STAGES.index(stage)
        if (state.round > at or (state.round == at and order)) and state.status == "completed":
            why = f"stage {stage} was redone with another result since"
            folder.save_stage(state.model_copy(update={"status": "outdated", "error": why}))
