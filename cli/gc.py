"""`steca gc`: what no run of a data folder refers to, and deleting it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rich.table import Table

from cli.terminal.console import console, say
from flows.runs.lock import refuse_while_running
from flows.wording import counted, no_runs
from storage.garbage import delete, find_garbage
from storage.runs import any_runs
from storage.store import Store


def collect(root: Path, wanted: bool) -> None:
    """Print what no run refers to, by kind. `wanted`: delete it, and bring the store up to date. Raises StageFault
    while a run is worked on: it may use any cached batch next."""
    out = console()
    if not any_runs(root):
        say(out, f"{root}: {no_runs(root)}")
        return
    if wanted:
        refuse_while_running(root, "nothing is deleted", "steca gc --delete")
    garbage = find_garbage(root)
    if not garbage:
        say(out, f"{root}: a run refers to every file that is older than a day and than all unfinished runs")
        return
    table = Table("kind", "files", "MB")
    files, sizes = Counter(found.kind for found in garbage), Counter[str]()
    for found in garbage:
        sizes[found.kind] += found.size
    for kind, number in files.items():
        table.add_row(kind, f"{number:,}", f"{sizes[kind] / 1e6:,.1f}")
    out.print(table)
    if not wanted:
        say(out, f"nothing was deleted: `steca gc --delete` deletes {counted(len(garbage), 'file')}")
        return
    refuse_while_running(root, "nothing is deleted", "steca gc --delete")
    with Store(root).alone():
        deleted = delete(garbage)
    Store(root).ingest()
    say(out, f"{root}: {counted(deleted, 'file')} deleted")
