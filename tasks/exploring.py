"""Stage explore: the policy's runs of one batch of demonstrated tasks."""

from __future__ import annotations

from configs.parts import PLAYED
from rollouts.exploring import explore
from storage.records import Record
from tasks.batch import Batch, batch_task


@batch_task("explore", version="1", reads=("environment", *PLAYED), each_task=True)
def explore_batch(batch: Batch) -> list[Record]:
    return explore(batch.world, batch.policy, batch.records(), batch.config, batch.progress)
