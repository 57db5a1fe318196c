"""The commands of `steca world`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.errors import readable_errors
from cli.options import ConfigOption, DebugOption, SetOption
from configs.load import load_config

world = typer.Typer(no_args_is_help=True, help="Make a world of your own, and test it.")


@world.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the Python module, e.g. parcel.")],
    folder: Annotated[Path, typer.Option("--dir", help="Folder to write to.")] = Path(),
    debug: DebugOption = False,
) -> None:
    """Write a small world that runs, and its configuration: to be changed into yours."""
    with readable_errors(debug):
        from cli.world.new import write_world

        write_world(name, folder)


@world.command()
def check(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="A world: its name, or module:Class. Default: the configured one."
        ),
    ] = None,
    tasks: Annotated[int, typer.Option(min=2, metavar="N", help="Training tasks to use.")] = 20,
    config: ConfigOption = None,
    set_: SetOption = None,
    debug: DebugOption = False,
) -> None:
    """Test a world: same answers again, snapshots, splits, expert, rewards, actions, speed. Exit code 1 for a fault."""
    with readable_errors(debug):
        from cli.world.check import print_findings

        overrides = [*([f"environment.name={name}"] if name else []), *(set_ or ())]
        if not print_findings(load_config(config, overrides), tasks):
            raise typer.Exit(1)
