"""`steca import`: what is read, how many runs are kept, how many set aside and why, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import typer

from cli.importing.progress import ImportProgress
from cli.importing.report import next_steps, tables
from cli.terminal.console import console, say
from cli.terminal.tables import as_rich
from configs.schema import FactoryConfig
from environments.base import EnvironmentFault
from environments.registry import open_world
from flows.wording import counted
from flows.work.planning import EXPLORED_PARTS, WARMUP_PARTS, planned
from formats.importing.files import files_in
from formats.importing.importing import Imported, import_runs
from formats.importing.matching import Matcher
from formats.importing.written import WrittenRuns, set_aside_path
from rollouts.play import EpisodeSettings

WHICH_TASKS = (
    "give the configuration that shall use the runs with --config, and enough tasks (tasks.demonstrations, "
    "tasks.exploration) of the same seed"
)


def import_files(
    files: Sequence[Path], out: Path, config: FactoryConfig, shape: str, given: Sequence[str]
) -> None:
    """Import the files and print what became of their runs. `given`: the options that gave the configuration, for the
    command that follows. Raises EnvironmentFault if no run can be used, and for files and worlds that cannot."""
    terminal, files = console(), files_in(files)
    with_demonstrations = config.environment.demonstrations
    environment = config.environment.model_copy(update={"demonstrations": None})
    config = config.model_copy(update={"environment": environment})
    if with_demonstrations and with_demonstrations.resolve() != out.resolve():
        say(terminal, f"environment.demonstrations {with_demonstrations} is not read here: FILE is imported")
    try:
        with (
            WrittenRuns(out) as written,
            closing(open_world(environment)) as world,
            ImportProgress(terminal, files) as progress,
        ):
            parts = planned(world, config)
            matcher = Matcher(world, parts, {*WARMUP_PARTS, *EXPLORED_PARTS}, progress.first_observations)
            settings = EpisodeSettings.of(config)
            found = import_runs(files, world, matcher, settings, written, shape, progress.read)
            following = next_steps(found, world, config, parts, out, given) if found.kept else []
    except KeyboardInterrupt:
        typer.echo("\ninterrupted; nothing was written, and the same command starts again", err=True)
        raise typer.Exit(130) from None
    for table in tables(found, files):
        terminal.print(as_rich(table))
    _say_where(found, out)
    for line in following:
        say(terminal, line)


def _say_where(found: Imported, out: Path) -> None:
    aside = set_aside_path(out)
    if found.set_aside:
        say(console(), f"set aside: {aside} has each with file, line, reason and text")
    if not found.read:
        raise EnvironmentFault("the file is empty: there is no run to import")
    if not found.kept:
        which = f"; {WHICH_TASKS}" if found.set_aside["no task"] else ""
        raise EnvironmentFault(f"no run can be used, so {out} was not written: {aside} says why{which}")
    say(console(), f"wrote {out}: {counted(found.kept, 'run')}, {counted(found.turns, 'turn')}")
