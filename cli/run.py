"""Running flows from the command line, with progress on the console and a summary at the end."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from cli.signals import leave_on_interrupt
from cli.terminal import SafeConsole, make_console, say
from configs.faults import ConfigFault
from configs.schema import FactoryConfig
from flows.server import environment
from flows.server.process import prefect_server
from storage.files import writing_in
from tasks.preflight import preflight


def run_factory(config: FactoryConfig, debug: bool = False) -> None:
    """Run the factory here, and print what came out. Raises every layer's faults."""
    console = make_console()
    run = _replayed(console, config)
    if run is None:
        preflight(config, quick=True)
        with flow_runtime(config.data_dir, console, debug):
            from flows.factory import factory

            run = factory(config)
    from cli.summary import print_summary

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
    """Run one stage of a known run, in the way in which the run was done last, but for the overrides. Raises StageFault
    where a stage before it is not complete."""
    from flows.run_lock import lock_run
    from flows.runs import check_round, config_of_run, folder_of, open_run

    config = config_of_run(data_dir, run, _how_only(overrides))
    check_round(config, run, round)
    console, folder = make_console(), folder_of(config, run)
    if folder.execution() is None:
        say(
            console,
            f"run {run} was made by version 0.3.0, which kept no execution and budget settings: defaults are used "
            "where --set does not say otherwise",
        )
    if not force and _replayed(console, config, run, [(name, round)]):
        return
    preflight(config, [name], quick=True)
    with flow_runtime(data_dir, console, debug), lock_run(folder, partial(say, console)):
        from flows.stages import STAGE_FLOWS

        open_run(folder, config)
        STAGE_FLOWS[name](config, run=run, round=round, force=force)


def _replayed(
    console: SafeConsole,
    config: FactoryConfig,
    run: str = "",
    stages: Sequence[tuple[str, int]] | None = None,
) -> str | None:
    """The id of the run where every result came from the cache, which needs no Prefect; else None."""
    from flows.from_cache import run_from_cache

    done = run_from_cache(config, run, stages, partial(say, console))
    if done:
        say(console, f"every result is in the cache: nothing was done again (run {done})")
    return done


@contextmanager
def flow_runtime(data_dir: Path, console: SafeConsole, debug: bool) -> Iterator[None]:
    """A Prefect server, its surroundings and a reporter. Raises StageFault where there is no server to be had."""
    check_writable(data_dir)
    leave_on_interrupt()
    say(console, "starting ...")
    with prefect_server(data_dir):
        if not debug:
            environment.quiet()
        from cli.progress_display import make_reporter
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
