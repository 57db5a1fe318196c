"""Writes the export, with progress, and prints its audit."""

from __future__ import annotations

from pathlib import Path

from cli.published import published_store
from cli.terminal.console import console, say
from cli.terminal.progress import counting_bar
from cli.terminal.tables import print_table
from flows.what_if import find_run
from formats.rows.filters import Filters
from formats.targets.context import Context
from formats.targets.registry import TARGETS
from formats.writing.existing import first_of
from formats.writing.export import Report, Request, export


def export_run(
    root: Path, format: str, run: str | None, out: Path, filters: Filters, context: Context
) -> None:
    """Write the export and print its audit. Raises FormatFault, StageFault and StorageFault."""
    store = published_store(root)
    run_id, runs = find_run(store, run)
    out = out.expanduser().resolve()
    if run is None and runs > 1:
        say(console(), f"the newest of {runs} runs: {run_id}")
    with counting_bar("rows") as bar:
        task = bar.add_task(format, total=None)
        report = export(
            store,
            Request(format, run_id, out, filters, context),
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    _print(report, format)


def _print(report: Report, format: str) -> None:
    out, audit = console(), report.audit
    if report.known:
        say(out, f"{report.out} is this export already, and complete")
    else:
        if report.damaged:
            say(
                out,
                f"{first_of(report.damaged)} in {report.out} was missing or damaged: all is exported anew",
            )
        goes_on = f", {report.resumed} files from a run that was stopped" if report.resumed else ""
        say(out, f"wrote {report.out}: {audit.rows} rows in {len(report.files)} files{goes_on}")
    masks = [
        ("turns trained on", audit.turns_trained),
        ("turns that are context only", audit.turns_context),
        ("observations trained on", audit.observations),
    ]
    counts = [
        ("rows", audit.rows),
        *((f"  {name}", n) for name, n in sorted(audit.sets.items())),
        *(masks if TARGETS[format].masks and TARGETS[format].source.trains else ()),
        *((f"not in it: {reason}", n) for reason, n in sorted(audit.dropped.items())),
        *((f"changed: {how}", n) for how, n in sorted(audit.changed.items())),
        ("longest row, characters", audit.longest),
    ]
    print_table(out, ["mask audit", "count"], counts)
    weight = TARGETS[format].weight
    say(out, f"weights: {weight.kind}: {weight.why}")
    say(out, f"how to load it: {report.out / 'README.md'}")
