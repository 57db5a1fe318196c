"""`steca curves`: the loss curves of a run's trainings."""

from __future__ import annotations

from pathlib import Path

import typer

from flows.curves import draw_run


def draw_curves(root: Path, run: str | None, out: Path | None) -> None:
    """Draw the curves of a run (None: the newest), and print the path of the file. Raises StageFault."""
    typer.echo(draw_run(root, run, out))
