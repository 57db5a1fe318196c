"""The options of `steca view` and `steca report`. What they need is imported when they are called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.errors import readable_errors
from cli.options import DataOption, RunOption
from configs.faults import ConfigFault


def view(
    run: RunOption = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            metavar="HTML",
            help="Write a run as one file instead, which any browser opens without a server.",
        ),
    ] = None,
    trajectories: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="With --bundle: at most N trajectories, those of deviated turns first. Default: 2000.",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, metavar="PORT", help="Port of the pages. Default: 4300."),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="HOST", help="Address to listen at. Default: this machine only."),
    ] = None,
    data_dir: DataOption = Path("data"),
) -> None:
    """Show runs, verdicts and trajectories in the browser. Reads the published store only."""
    with readable_errors():
        if run is not None and bundle is None:
            raise ConfigFault("--run is for --bundle: the pages show every run")
        if trajectories is not None and bundle is None:
            raise ConfigFault("--trajectories is for --bundle: the pages show every trajectory")
        if bundle is not None and (port is not None or host is not None):
            raise ConfigFault("--port and --host are for the pages of a server: a file needs none")
        from cli.data_folder import to_read
        from cli.view.pages import MOST, serve_pages, write_file
        from view.serving.serve import LOCAL, PORT

        root = to_read(data_dir)
        if bundle is None:
            serve_pages(root, host or LOCAL, port or PORT)
        else:
            write_file(root, run, bundle, trajectories or MOST)


def report(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]", help="Id of a run, its start, or the run's name. Default: the newest run."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="HTML", help="File to write. Default: in the folder reports of the data folder."
        ),
    ] = None,
    data_dir: DataOption = Path("data"),
) -> None:
    """Write the page of a run, with its threshold bench, as one HTML file."""
    with readable_errors():
        from cli.data_folder import to_read
        from cli.view.pages import write_run_page

        write_run_page(to_read(data_dir), run, out)
