"""The results of a run, from the published store."""

from __future__ import annotations

from pathlib import Path

from cli.terminal.console import SafeConsole, say
from cli.terminal.tables import as_rich
from flows.runs.run import skipped_stages
from flows.summary.success import change_table, success_table
from flows.summary.work import costs_table, counts_table, stages_table
from flows.wording import in_folder
from storage.faults import StorageFault
from storage.runs import RunFolder
from storage.store import Store

NEXT = (
    "FROM success_by_task_type WHERE split = 'unseen'",
    "SELECT step_index, reference_reward, explored_reward, gap, verdict, rule FROM step_reward_gaps LIMIT 20",
    "FROM calibration_outcomes",
    "FROM help WHERE column_name IS NULL",
)


def print_summary(console: SafeConsole, data_dir: Path, run: str) -> None:
    """Print success rates, counts, times, costs and queries to start with."""
    store = Store(data_dir.expanduser().resolve())
    with store.opened():
        for table in (success_table(store, run), change_table(store, run), counts_table(store, run)):
            console.print(as_rich(table))
        console.print(as_rich(stages_table(store, run, skipped_stages(RunFolder(store.root, run)))))
        print_costs(console, store, run)
    say(console, f"run    {run}")
    say(console, f"store  {store.published}")
    say(console, "\nAsk it, for example:")
    for sql in NEXT:
        say(console, f'  steca sql{in_folder(store.root)} "{sql}"')


def refuse_incomplete_tables(data_dir: Path, run: str) -> None:
    """Raises StorageFault if some of a run's batches could not be ingested: its tables then do not say everything."""
    aside = Store(data_dir.expanduser().resolve()).set_aside_of(run)
    if aside:
        manifest, reason = aside[0]
        raise StorageFault(
            f"the tables of run {run} lack {len(aside)} of its batches (see `steca doctor{in_folder(data_dir)}`), such "
            f"as {manifest}: {reason}"
        )


def print_costs(console: SafeConsole, store: Store, run: str) -> None:
    """Print the costs of language-model calls, and of a kept calibration; nothing where there were no calls."""
    table = costs_table(store, run)
    if table is None:
        return
    console.print(as_rich(table))
    for note in table.notes:
        say(console, note)
