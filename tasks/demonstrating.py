"""Stage demonstrate: the expert's runs of one batch of tasks."""

from __future__ import annotations

from rollouts.demonstrating import demonstrate
from storage.records import Record
from tasks.batch import Batch, batch_task


@batch_task("demonstrate", version="1", reads=("environment",), each_task=True)
def demonstrate_batch(batch: Batch) -> list[Record]:
    return demonstrate(batch.world, batch.tasks, batch.config, batch.progress)
