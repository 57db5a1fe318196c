"""`steca run`: the whole factory, with its progress and a summary at the end."""

from __future__ import annotations

from cli.runtime import flow_runtime, take_from_cache
from cli.terminal.console import make_console
from configs.schema import FactoryConfig
from tasks.preflight import preflight


def run_factory(
    config: FactoryConfig,
    from_stage: str | None = None,
    round: int = 1,
    force: bool = False,
    debug: bool = False,
) -> None:
    """Run the factory in this process, or what follows from a stage on, and print a summary. Raises the faults of every
    layer, and StorageFault where the tables lack some of its batches."""
    from flows.runs.starting import stages_from

    stages_from(from_stage, round, config.rounds)
    console = make_console()
    run = None if force or from_stage else take_from_cache(console, config)
    if run is None:
        preflight(config, quick=True)
        with flow_runtime(config.data_dir, console, debug):
            from flows.factory import factory

            run = factory(config, from_stage=from_stage, from_round=round, force=force)
    from cli.summary import print_summary, refuse_incomplete_tables

    print_summary(console, config.data_dir, run)
    refuse_incomplete_tables(config.data_dir, run)
