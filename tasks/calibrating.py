"""Stage calibrate: reflections on one batch's deviations, each repair proved by executing it."""

from __future__ import annotations

from environments.base import World
from models.reflector import ReflectionRequest, Reflector, TemplateReflector
from rollouts.calibrating import calibrate
from storage.records import Record
from tasks.batch import Batch, batch_task


@batch_task("calibrate", version="1", reads=("environment", "calibration"))
def calibrate_batch(batch: Batch) -> list[Record]:
    return calibrate(batch.world, _reflector(batch.world), batch.records(), batch.config, batch.progress)


def _reflector(world: World) -> Reflector:
    """The offline reflector: the world composes the thought from what was really observed."""

    def compose(request: ReflectionRequest) -> str:
        return world.reflect(
            request.instruction, request.first_observation, request.steps, request.required_action
        )

    return TemplateReflector(compose)
