"""Stage evaluate: the test episodes of one batch of held-out tasks, and the deviations that some start from."""

from __future__ import annotations

from configs.parts import PLAYED
from rollouts.evaluating import evaluate, force_deviations
from storage.records import Record
from tasks.batch import Batch, batch_task


@batch_task(
    "force",
    version="1",
    reads=("seed", "environment", *PLAYED),
    each_task=True,
)
def force_batch(batch: Batch) -> list[Record]:
    return force_deviations(batch.world, batch.policy, batch.records(), batch.config)


@batch_task("evaluate", version="1", reads=("environment", *PLAYED), each_task=True)
def evaluate_batch(batch: Batch) -> list[Record]:
    role = batch.inputs["role"]
    return evaluate(batch.world, batch.policy, batch.records(), batch.config, role, batch.progress)
