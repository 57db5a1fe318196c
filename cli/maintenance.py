"""The commands that look after a data folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.data_folder import local
from cli.errors import readable_errors
from cli.options import DataOption


def doctor(
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Build the whole store again from the shards.")
    ] = False,
    data_dir: DataOption = Path("data"),
) -> None:
    """Check a data folder, and repair what can be repaired. Exits with 1 if something is left to do."""
    with readable_errors():
        from cli.doctor import print_findings

        if not print_findings(local(data_dir, "steca doctor"), rebuild):
            raise typer.Exit(1)


def gc(
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete it. Default: only say what there is.")
    ] = False,
    data_dir: DataOption = Path("data"),
) -> None:
    """List the batches and files that no run refers to, by kind and size, and delete them with --delete."""
    with readable_errors():
        from cli.gc import collect

        collect(local(data_dir, "steca gc"), delete)


def compact(data_dir: DataOption = Path("data")) -> None:
    """Pack the small files with the rows of batches into a few large ones. No row and no cached result changes."""
    with readable_errors():
        from cli.compact import pack_shards

        pack_shards(local(data_dir, "steca compact"))
