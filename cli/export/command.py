"""The options of `steca export`. What they need is imported when the command is called."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, get_args

import typer

from cli.errors import readable_errors
from cli.options import DataOption, RunOption
from formats.targets.context import Context

ContextOption = Enum("ContextOption", {name: name for name in get_args(Context)})  # type: ignore[misc]
_REFUSE = ContextOption("refuse")


def export(
    format: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT", help="For example trl-sft; any other word lists all. docs/formats.md has them."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="Folder to make. An export that is there is replaced."),
    ],
    run: RunOption = None,
    sets: Annotated[
        str,
        typer.Option(
            "--sets", metavar="A,B", help="Only these sets, e.g. calibrated,expert_suffix. Default: all."
        ),
    ] = "",
    verdict: Annotated[
        str, typer.Option("--verdict", metavar="A,B", help="Only rows whose deviation has this verdict.")
    ] = "",
    split: Annotated[
        str, typer.Option("--split", metavar="A,B", help="Only tasks of these splits, in formats of traces.")
    ] = "",
    min_weight: Annotated[
        float | None, typer.Option("--min-weight", metavar="X", help="Only examples that weigh at least X.")
    ] = None,
    where: Annotated[
        str | None,
        typer.Option("--where", metavar="SQL", help='Only rows with this condition, e.g. "n_steps < 10".'),
    ] = None,
    context: Annotated[
        ContextOption,
        typer.Option(
            "--context",
            help="Formats that train on every turn: what to do with examples that have turns which must not be trained "
            "on. fold: into the first user message. drop: leave them out. split: a row for each target turn.",
        ),
    ] = _REFUSE,
    data_dir: DataOption = Path("data"),
) -> None:
    """Export a run's training data, pairs or traces for another tool, with card, lineage and mask audit."""
    with readable_errors():
        from cli.data_folder import to_read
        from cli.export.printing import export_run
        from formats.rows.filters import Filters

        filters = Filters(_names(sets), _names(verdict), _names(split), min_weight, where)
        export_run(to_read(data_dir), format, run, out, filters, context.value)


def _names(given: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in given.split(",") if name.strip())
