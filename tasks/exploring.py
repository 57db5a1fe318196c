"""Stage explore: the policy's runs of one batch of demonstrated tasks."""

from __future__ import annotations

from rollouts.exploring import explore
from storage.records import Record
from tasks.batch import Batch, batch_task
from tasks.views import PLAYED


@batch_task("explore", version="1", reads=("environment", *PLAYED))
def explore_batch(batch: Batch) -> list[Record]:
    return explore(batch.world, batch.policy, batch.records(), batch.config, batch.progress)
