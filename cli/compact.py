"""`steca compact`: many small files of a data folder in a few large ones."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from cli.terminal.console import console, say, text
from flows.runs.lock import refuse_while_running
from flows.wording import counted, in_folder, no_runs
from storage.compaction import Compacted, compact
from storage.runs import any_runs
from storage.store import Store


def pack_shards(root: Path) -> None:
    """Pack the shards, and print what became of each folder. Raises StageFault while a run is worked on, StorageFault
    where the folder cannot be written."""
    out = console()
    if not any_runs(root):
        say(out, f"{root}: {no_runs(root)}")
        return
    refuse_while_running(root, "nothing is packed", "steca compact")
    with Store(root).alone():
        folders = list(compact(root))
    if changed := [folder for folder in folders if folder.after < folder.before]:
        out.print(_table(changed))
    else:
        say(
            out,
            f"{root}: nothing to pack: {counted(sum(folder.after for folder in folders), 'file')} with shards",
        )
    for folder in folders:
        for path, why in folder.damaged.items():
            where = path.relative_to(root).as_posix()
            say(out, f"{where}: {why}; left as it is: `steca doctor{in_folder(root)}` says what needs it")


def _table(folders: list[Compacted]) -> Table:
    table = Table("folder", "files before", "files after", "MB in packs", show_footer=True)
    for folder in folders:
        cells = (f"{folder.before:,}", f"{folder.after:,}", f"{folder.size / 1e6:,.1f}")
        table.add_row(text(f"shards/{folder.stage_key}"), *cells)
    sums = (
        f"{sum(folder.before for folder in folders):,}",
        f"{sum(folder.after for folder in folders):,}",
        f"{sum(folder.size for folder in folders) / 1e6:,.1f}",
    )
    for column, footer in zip(table.columns, ("all", *sums), strict=True):
        column.footer = footer
    return table
