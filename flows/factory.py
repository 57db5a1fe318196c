"""The whole chain: every stage of every round."""

from __future__ import annotations

from prefect import flow

from configs.schema import FactoryConfig
from flows.runs import folder_of, run_id
from flows.stages import DEFAULT, calibrate, demonstrate, evaluate, explore, rewards, train, warmup
from tasks.preflight import check_base_model, preflight


@flow(name="factory", flow_run_name="{config.name}")
def factory(config: FactoryConfig = DEFAULT) -> str:
    """Expert demonstrations in, a calibrated and evaluated policy out. Returns the id of the run.

    Args:
        config: Everything that can be set. What was done before with the same settings is not done again.
    """
    preflight(config)
    warmed_up = folder_of(config).stage(0, "warmup")
    if warmed_up is None or warmed_up.status != "completed":
        check_base_model(config)
    demonstrate(config)
    warmup(config)
    for number in range(1, config.rounds + 1):
        for stage in (explore, rewards, calibrate, train, evaluate):
            stage(config, round=number)
    return run_id(config)
