"""Training sets without an example and methods without a pair: why there is none, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from configs.schema import DatasetConfig
from flows.stage_run import StageRun
from storage.records import PreferencePairRecord, TrainingExampleRecord
from storage.shards import BatchRef

WHY_EMPTY = {
    "calibrated": "no repair was kept (the view calibration_outcomes says why)",
    "explored_successes": "no greedy run from the start of a task succeeded, or datasets.weighting left it out",
    "sampled_successes": "no sampled run succeeded",
    "expert_suffixes": "no run failed where the expert's turn is known to be better",
    "expert_runs": "there are no demonstrations",
    "explored_expert_runs": "there are no explored tasks",
}
"""By setting of `datasets`, why a set has no example."""


def refuse_empty_set(stage: StageRun, examples: BatchRef) -> None:
    """Raises StageFault if the training set of the round has no example."""
    if not examples.rows.get(TrainingExampleRecord.table):
        stage.refuse(_empty_set(stage.config.datasets))


def refuse_no_pairs(stage: StageRun, pairs: BatchRef, records: Sequence[BatchRef]) -> None:
    """Raises StageFault if the method found no pair in these records."""
    if pairs.rows.get(PreferencePairRecord.table):
        return
    from rollouts.stages.pairs import assemble_pairs, why_none  # which loads torch

    rows = [row for ref in records for row in stage.resources.shards.read_batch(ref)]
    method = stage.config.training.method
    stage.refuse(
        f"training.method {method} found no preference pair: {why_none(assemble_pairs(rows, stage.config), method)}. "
        "Explore more tasks (tasks.exploration), or choose another method"
    )


def _empty_set(datasets: DatasetConfig) -> str:
    reasons = [f"datasets.{name}: {why}" for name, why in WHY_EMPTY.items() if getattr(datasets, name)]
    return (
        f"the training set is empty. Each set that is on gave no example ({'; '.join(reasons)}). Explore more tasks "
        "(tasks.exploration), or add a set that always has examples: datasets.expert_runs=true"
    )
