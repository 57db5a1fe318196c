"""The whole chain: every stage of every round."""

from __future__ import annotations

from prefect import flow

from configs.load import refuse_conflicts
from configs.schema import FactoryConfig
from flows.progress import current
from flows.run_lock import working_on
from flows.runs import folder_of, how_of, root_of, run_id, schedule
from flows.stages import DEFAULT, STAGE_FLOWS
from storage.runs import RunFolder
from tasks.preflight import check_base_model, preflight


@flow(name="factory", flow_run_name="{config.name}")
def factory(config: FactoryConfig = DEFAULT) -> str:
    """Expert demonstrations in, a calibrated and evaluated policy out. Returns the id of the run.

    Args:
        config: Everything that can be set. What was done before with the same settings is not done again.
    """
    refuse_conflicts(config, "configuration")
    preflight(config)
    root, run = root_of(config), run_id(config)
    with working_on(root, run, current().says):
        warmed_up = RunFolder(root, run).stage(0, "warmup")
        if warmed_up is None or warmed_up.status != "completed":
            check_base_model(config)
        folder_of(config).save_how(how_of(config))
        for stage, round in schedule(config):
            STAGE_FLOWS[stage](config, run=run, round=round)
    return run
