"""Which run a configuration is, and what the stages of a run hand on to each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from configs.load import check
from configs.schema import FactoryConfig
from flows.faults import StageFault
from flows.output import in_folder
from storage.ids import content_id
from storage.runs import RunFolder, StageState
from storage.shards import BatchRef
from tasks.views import outcome_settings

STAGES = ("demonstrate", "warmup", "explore", "rewards", "calibrate", "train", "evaluate")
BEFORE_ROUNDS = ("demonstrate", "warmup")


def run_id(config: FactoryConfig) -> str:
    """The same settings are the same run, wherever its data lie and however the work is cut."""
    return f"{config.name}-{content_id(outcome_settings(config))[:8]}"


def round_of(stage: str, round: int) -> int:
    """The demonstrations and the warm-up come before the rounds: they are filed under 0."""
    return 0 if stage in BEFORE_ROUNDS else round


def folder_of(config: FactoryConfig) -> RunFolder:
    """The folder of the configuration's run, made where it is new."""
    folder = RunFolder(config.data_dir.expanduser().resolve(), run_id(config))
    folder.create(config.name, outcome_settings(config))
    return folder


def config_of_run(data_dir: Path, run: str, config: FactoryConfig | None = None) -> FactoryConfig:
    """The configuration of a known run; `config` gives how the work is done. Raises StorageFault."""
    info = RunFolder(data_dir.expanduser().resolve(), run).load()
    how = config.model_dump(include={"budget", "execution"}) if config else {}
    return check({**info.config, "name": info.name, "data_dir": data_dir, **how}, f"run {run}")


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


def batches_of(state: StageState, task: str, parts: Sequence[str] | None = None) -> list[BatchRef]:
    """The batches that one task of a stage wrote, in the stage's order: all, or those of some parts."""
    wanted = [f"{task}-"] if parts is None else [f"{task}-{part}-" for part in parts]
    return [ref for ref in state.batches if ref.batch_id.startswith(tuple(wanted))]


def outdate(folder: RunFolder, stage: str, round: int) -> None:
    """Mark every later stage of the run as not complete: what it was made from has changed."""
    at = round_of(stage, round)
    for state in folder.stages():
        order = STAGES.index(state.stage) > STAGES.index(stage)
        if (state.round > at or (state.round == at and order)) and state.status == "completed":
            why = f"stage {stage} was redone with another result since"
            folder.save_stage(state.model_copy(update={"status": "failed", "error": why}))
