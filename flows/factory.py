"""The whole chain: every stage of every round."""

from __future__ import annotations

from prefect import flow

from configs.rules import refuse_conflicts
from configs.schema import FactoryConfig
from configs.stages import schedule
from flows.progress import current
from flows.run_lock import lock_run
from flows.runs import folder_of, open_run
from flows.server.flow_run_process import watch_this_process
from flows.stages import DEFAULT, STAGE_FLOWS
from tasks.preflight import preflight


@flow(name="factory", flow_run_name="{config.name}")
def factory(config: FactoryConfig = DEFAULT) -> str:
    """Expert demonstrations in, a calibrated and evaluated policy out. Returns the id of the run.

    Args:
        config: Every setting. What was done before with the same settings is not done again.
    """
    watch_this_process()
    refuse_conflicts(config, "configuration")
    folder = folder_of(config)
    preflight(config)
    with lock_run(folder, current().log):
        open_run(folder, config)
        for stage, round in schedule(config.rounds):
            STAGE_FLOWS[stage](config, run=folder.run_id, round=round)
    return folder.run_id
