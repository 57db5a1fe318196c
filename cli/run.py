"""`steca run`: the whole factory, with its progress and a summary at the end."""

from __future__ import annotations

from cli.runtime import flow_runtime, take_from_cache
from cli.terminal.console import make_console
from configs.schema import FactoryConfig
from tasks.preflight import preflight


def run_factory(config: FactoryConfig, debug: bool = False) -> None:
    """Run the factory in this process, and print a summary. Raises the faults of every layer."""
    console = make_console()
    run = take_from_cache(console, config)
    if run is None:
        preflight(config, quick=True)
        with flow_runtime(config.data_dir, console, debug):
            from flows.factory import factory

            run = factory(config)
    from cli.summary import print_summary

    print_summary(console, config.data_dir, run)
