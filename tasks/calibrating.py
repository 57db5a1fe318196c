"""Stage calibrate: reflections on one batch's deviations, each repair proved by executing it."""

from __future__ import annotations

from rollouts.calibrating import calibrate
from storage.records import Record
from tasks.batch import Batch, batch_task


@batch_task("calibrate", version="3", reads=("environment", "calibration"))
def calibrate_batch(batch: Batch) -> list[Record]:
    reflector = batch.work.reflector(batch.config.calibration, batch.world)
    return calibrate(batch.world, reflector, batch.records(), batch.config, batch.progress)
