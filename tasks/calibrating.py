"""Stage calibrate: reflections on one batch's deviations, each repair proved by executing it."""

from __future__ import annotations

from rollouts.calibrating import calibrate
from storage.records import Record
from tasks.batch import Batch, batch_task

REPLIES = "2"
"""How replies of language models are read. Raise it when a reply may be read differently, so that calibrations are made
again from the replies that are kept; those of the template stay."""


@batch_task("calibrate", version="2", reads=("environment", "calibration"), each_task=True, replies_kept=True)
def calibrate_batch(batch: Batch) -> list[Record]:
    reflector = batch.work.reflector(batch.config.calibration, batch.world)
    return calibrate(batch.world, reflector, batch.records(), batch.config, batch.progress)
