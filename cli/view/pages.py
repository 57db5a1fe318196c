"""The pages of the store, from a server or as one file."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from cli.data_folder import followed
from cli.published import published_store
from cli.terminal.console import make_console, say
from cli.terminal.progress import counting_bar
from configs.data_folder import shown
from flows.faults import StageFault
from flows.wording import no_runs, to_start
from storage.runs import any_runs
from view.assets import is_page
from view.bundle import write_bundle, write_report
from view.published import Published
from view.queries.runs import run_called
from view.serving.serve import LOCAL, serve

MOST = 2000
"""Trajectories of a bundle, where nobody says another number."""


def serve_pages(root: Path, host: str, port: int) -> None:
    """Serve the pages until interrupted. Raises StageFault where there is no such folder, or the port cannot be had."""
    if not root.is_dir():
        raise StageFault(no_runs(root))
    console = make_console()

    def told(url: str) -> None:
        say(console, f"the store in {shown(root)}: {url}")
        if not any_runs(root):
            say(
                console,
                f"no runs in it yet: they are shown as soon as there are any; start one with {to_start(root)}",
            )
        if host != LOCAL:
            say(console, "everybody who reaches this address can read the store and label turns")
        say(console, "stop with Ctrl-C")

    with suppress(KeyboardInterrupt), followed(root):
        serve(root, host, port, told)
    say(console, "stopped")


def write_file(root: Path, run: str | None, out: Path, most: int) -> None:
    """Write a run as one file. Raises StageFault, StorageFault."""
    _check_place(out)
    published = _published(root)
    run_id = run_called(published, run)
    console = make_console()
    with counting_bar("trajectories") as progress:
        task = progress.add_task(out.name, total=None)
        held, total = write_bundle(
            published, run_id, out, most, lambda done, of: progress.update(task, completed=done, total=of)
        )
    part = "" if held == total else f" of {total:,} (--trajectories takes more)"
    say(console, f"{out}: run {run_id}, {held:,} trajectories{part}; {_megabytes(out)}, any browser opens it")


def write_run_page(root: Path, run: str | None, out: Path | None) -> None:
    """Write the page of a run as one file. Raises StageFault, StorageFault."""
    if out is not None:
        _check_place(out)
    published = _published(root)
    run_id = run_called(published, run)
    file = out or root / "reports" / f"{run_id}.html"
    write_report(published, run_id, file)
    say(make_console(), f"{file}: run {run_id}, {_megabytes(file)}; any browser opens it")


def _check_place(out: Path) -> None:
    """Raises StageFault where a file would replace another one than such a page, or its folder is not there."""
    if not out.parent.is_dir():
        raise StageFault(f"{out}: there is no folder {out.parent}")
    if out.is_dir():
        raise StageFault(f"{out} is a folder: name a file in it, e.g. {out / 'run.html'}")
    if out.exists() and not is_page(out):
        raise StageFault(
            f"{out} is there already, and is no page that this command wrote: choose another name"
        )


def _published(root: Path) -> Published:
    published_store(root)
    return Published(root)


def _megabytes(file: Path) -> str:
    return f"{file.stat().st_size / 1e6:.1f} MB"
