"""Negative controls: what the checks of the other kinds must notice."""

from __future__ import annotations

import shutil

import duckdb

from benchmarks.faults.bench import Bench, Trial
from benchmarks.faults.outcome import Outcome
from benchmarks.faults.played import Played, played_in
from benchmarks.faults.rows import lost, rows_of


def controls(bench: Bench, outcome: Outcome) -> None:
    """A deleted row, a wiped cache, a published file that cannot be read. Here, survived means noticed."""
    finished = bench.undisturbed()
    data_dir = bench.new_folder("controls")
    shutil.copytree(finished.data_dir, data_dir)
    spoiled = Outcome(outcome.kind)
    trial = Trial(bench, spoiled, finished, (), data_dir)
    noticed = {
        "a deleted row": _deleted_row(trial),
        "a wiped cache": _wiped_cache(trial),
        "a truncated published file": _unreadable(trial),
    }
    outcome.tried, outcome.survived = len(noticed), sum(noticed.values())
    outcome.problems += [f"{what} was not noticed" for what, seen in noticed.items() if not seen]


def _deleted_row(trial: Trial) -> bool:
    published = trial.data_dir / "trajectories.duckdb"
    with duckdb.connect(published) as connection:
        connection.execute(
            "DELETE FROM evaluations WHERE evaluation_id = (SELECT min(evaluation_id) FROM evaluations)"
        )
    return lost(trial.undisturbed.rows, rows_of(trial.data_dir, trial.undisturbed.run)) == 1


def _wiped_cache(trial: Trial) -> bool:
    for name in ("results", "shards", "evidence", "store"):
        shutil.rmtree(trial.data_dir / name)
    trial.start().ended()
    again = played_in(trial.data_dir.parent / "played.log")
    return again == trial.undisturbed.played != Played()


def _unreadable(trial: Trial) -> bool:
    published = trial.data_dir / "trajectories.duckdb"
    published.write_bytes(published.read_bytes()[:5000])
    with trial.read():
        pass  # the reader reads once more when it is told to end
    return trial.outcome.failed_reads > 0
