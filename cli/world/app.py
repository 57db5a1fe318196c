"""The commands of `steca world`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.errors import readable_errors
from cli.options import ConfigOption, DebugOption, SetOption
from configs.load import load_config
from configs.schema import FactoryConfig

world = typer.Typer(no_args_is_help=True, help="Make a world of your own, test it, and serve it.")

NameArgument = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="A world: its name, or module:Class. Default: the configured one."),
]
ServedOption = Annotated[
    int, typer.Option("--tasks", min=1, metavar="N", help="Tasks of each split that are served.")
]


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
    name: NameArgument = None,
    tasks: Annotated[int, typer.Option(min=2, metavar="N", help="Training tasks to use.")] = 20,
    config: ConfigOption = None,
    set_: SetOption = None,
    debug: DebugOption = False,
) -> None:
    """Test a world: same answers again, snapshots, splits, expert, rewards, actions, speed. Exit code 1 for a fault."""
    with readable_errors(debug):
        from cli.world.check import print_findings

        if not print_findings(_configured(name, config, set_), tasks):
            raise typer.Exit(1)


@world.command()
def serve(
    name: NameArgument = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for other machines.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for a free one.")] = 8000,
    tasks: ServedOption = 100,
    config: ConfigOption = None,
    set_: SetOption = None,
    debug: DebugOption = False,
) -> None:
    """Serve a world as an OpenEnv server: many sessions at once, each with an environment of its own."""
    with readable_errors(debug):
        from cli.world.serve import serve_world

        serve_world(_configured(name, config, set_), host, port, tasks)


@world.command()
def export(
    name: NameArgument = None,
    folder: Annotated[Path, typer.Option("--dir", help="Folder to write to; new or empty.")] = Path(
        "openenv"
    ),
    tasks: ServedOption = 100,
    config: ConfigOption = None,
    set_: SetOption = None,
    debug: DebugOption = False,
) -> None:
    """Write a world as an OpenEnv environment: manifest, server and Dockerfile, which `openenv validate` accepts."""
    with readable_errors(debug):
        from cli.world.export import export_world

        export_world(_configured(name, config, set_), folder, tasks)


def _configured(name: str | None, config: Path | None, changes: list[str] | None) -> FactoryConfig:
    return load_config(config, [*([f"environment.name={name}"] if name else []), *(changes or ())])
