"""`steca doctor`: report what is wrong with a data folder, and repair what can be repaired."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from cli.findings import examine
from cli.terminal.console import console, say, text
from flows.wording import counted, no_runs
from storage.runs import any_runs


def print_findings(root: Path, rebuild: bool) -> bool:
    """Print a table of findings. Returns whether the folder is healthy now."""
    out, todo = console(), 0
    table = Table("state", "what", "problem, and what was or is to be done", show_lines=True)
    table.columns[0].no_wrap = True
    for finding in examine(root, rebuild):
        todo += finding.state == "to do"
        cells = (text(words, overflow="fold") for words in (finding.subject, finding.message))
        table.add_row(finding.state, *cells)
    if table.row_count:
        out.print(table)
    if todo:
        say(out, f"{root}: {counted(todo, 'thing')} left to do")
    else:
        say(out, f"{root}: healthy" if any_runs(root) else no_runs(root))
    return not todo
