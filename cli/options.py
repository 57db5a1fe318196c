"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from configs.data_folder import data_folder

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="YAML file with settings. Default: no file, all defaults."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="Change a setting, e.g. rewards.rollouts=8. Repeatable."
    ),
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show Prefect's log, and tracebacks of errors.")]


def _data_folder(given: str) -> Path:
    try:
        return data_folder(given)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


DataOption = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        metavar="PATH",
        parser=_data_folder,
        help="Folder with the runs and the store, or its URL.",
    ),
]
RunOption = Annotated[
    str | None,
    typer.Option(
        "--run", metavar="RUN", help="Id of a run, its start, or the run's name. Default: the newest."
    ),
]
