"""What came of the expert runs: told where some cannot be used, refused where none can."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from environments.capabilities import Snapshots
from environments.identities import own_id
from environments.states.advice import COPIED, REPEATABLE
from flows.stage_run import StageRun
from flows.work.planning import EXPLORED_PARTS, WARMUP_PARTS
from rollouts.rows import task_of
from steca.vocabulary import END_WITHOUT_SUCCESS
from storage.records import TaskRecord, TrajectoryRecord
from storage.shards import BatchRef


def tell_expert_runs(stage: StageRun, parts: Sequence[tuple[str, BatchRef]]) -> None:
    """Say how many expert runs cannot be used, and why, for training and for test tasks. `parts`: the batches, each
    with its part of the run. Raises StageFault if no training task has a run that can be used, or most runs of
    the world cannot be repeated."""
    training = [ref for part, ref in parts if part in {*WARMUP_PARTS, *EXPLORED_PARTS}]
    told = _told(stage, "training", training)
    world = stage.resources.world
    if 2 * told.diverged > told.runs and not world.recordings:
        advice = COPIED if world.can(Snapshots) else REPEATABLE
        stage.refuse(
            f"{told.line}. World {world.name} is not deterministic: {advice} (`steca world check` tests it)"
        )
    if not told.usable:
        mend = (
            "See that the world can be reached"
            if world.failures.lost
            else "Mend the expert or the recorded runs"
        )
        stage.refuse(f"{told.line}. {mend} (`steca world check` tests a world)")
    lines = [told.line]
    if stage.config.evaluation.forced_deviations:  # which need one
        lines.append(_told(stage, "test", [ref for _, ref in parts if ref not in training]).line)
    for said in filter(None, lines):
        stage.log(said)


class _Told(NamedTuple):
    """Numbers of runs: all, those that can be used, and those that could not be repeated. `line`: on the tasks without
    a run that can be used; "" if there are none."""

    runs: int
    usable: int
    diverged: int
    line: str


def _told(stage: StageRun, which: str, refs: Sequence[BatchRef]) -> _Told:
    runs = [run for ref in refs for run in stage.resources.shards.read(ref, TrajectoryRecord)]
    tasks = sum(ref.rows.get(TaskRecord.table, 0) for ref in refs)
    failed = Counter(run.end_reason for run in runs if not run.success)
    reasons = [
        f"{count} ended {end} ({END_WITHOUT_SUCCESS.get(end, end)})" for end, count in failed.most_common()
    ]
    reasons += [_none(stage, refs, tasks - len(runs), not runs)] if tasks > len(runs) else []
    usable = len(runs) - failed.total()
    line = f"{usable} of {tasks} {which} tasks have an expert run that succeeded; of the others, {', '.join(reasons)}"
    return _Told(len(runs), usable, failed["replay_diverged"], line if reasons else "")


def _none(stage: StageRun, refs: Sequence[BatchRef], none: int, all_of_them: bool) -> str:
    """Of `none` tasks without a run: how many, and why, as far as it is known."""
    world, said = stage.resources.world, f"{none} have none"
    if world.failures.lost:
        lost = f"of all expert runs, {world.failures.lost} could not be played: the world's connection failed"
        return f"{said} ({lost}; the same command tries them again)"
    if world.recordings and all_of_them:
        row = next(row for ref in refs for row in stage.resources.shards.read(ref, TaskRecord))
        return f"{said} ({world.recordings.no_match(own_id(task_of(row)))})"
    return said
