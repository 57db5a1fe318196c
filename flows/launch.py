"""Running flows from the command line, with progress on the console and a summary at the end."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from configs.load import ConfigFault, load_config
from configs.schema import FactoryConfig
from environments.registry import make_world
from flows import local
from flows.faults import StageFault
from flows.interrupt import leave_on_interrupt
from flows.output import counted
from flows.prefect_server import prefect_server
from flows.terminal import SafeConsole, make_console, say
from storage.files import writing_in


def run_factory(config: FactoryConfig, debug: bool = False) -> None:
    """Run the factory here, and print what came out. Raises every layer's faults."""
    console = make_console()
    make_world(
        config.environment.name, config.environment.options
    )  # refuse a wrong one before anything starts
    with surroundings(config.data_dir, console, debug):
        from flows.factory import factory

        run = factory(config)
    from flows.summary import print_summary

    print_summary(console, config.data_dir, run)


def run_stage(
    name: str,
    data_dir: Path,
    run: str,
    round: int,
    force: bool,
    overrides: Sequence[str],
    debug: bool = False,
) -> None:
    """Run one stage of a known run. Raises StageFault where a stage before it is not complete."""
    how = load_config(None, _how_only(overrides))
    from flows.runs import config_of_run

    config = config_of_run(data_dir, run, how)
    if round > config.rounds:
        raise StageFault(f"run {run} has {counted(config.rounds, 'round')}, so there is no round {round}")
    with surroundings(data_dir, make_console(), debug):
        from flows.stages import STAGE_FLOWS

        STAGE_FLOWS[name](config, run=run, round=round, force=force)


@contextmanager
def surroundings(data_dir: Path, console: SafeConsole, debug: bool) -> Iterator[None]:
    """A Prefect server, its surroundings and a reporter. Raises StageFault where there is no server to be had."""
    check_writable(data_dir)
    leave_on_interrupt()
    say(console, "starting ...")
    with prefect_server(data_dir):
        if not debug:
            local.quiet()
        from flows.console import make_reporter
        from flows.progress import reporting

        with make_reporter(console) as reporter, reporting(reporter):
            yield


def check_writable(data_dir: Path) -> None:
    """Raise StorageFault at once where nothing can be written, not after the first hour of work."""
    root = data_dir.expanduser().resolve()
    with writing_in(root):
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(
            dir=root
        ) as probe:  # nameless: nothing to collide with, or to be left behind
            probe.write(b"steca\n")
        (root / ".writable").unlink(missing_ok=True)  # up to version 0.3.0 a killed process could leave it


def _how_only(overrides: Sequence[str]) -> Sequence[str]:
    for override in overrides:
        if not override.startswith(("execution.", "budget.")):
            raise ConfigFault(
                f"--set {override}: a run's settings are fixed; only execution.* and budget.* can be given here"
            )
    return overrides
