"""The checks behind `make faults` notice what they are for: lost and added rows, work done again, failed reads."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from benchmarks.checkouts import HERE
from benchmarks.faults.bench import Bench, Trial, Undisturbed
from benchmarks.faults.outcome import Outcome, Skipped, table
from benchmarks.faults.played import COUNTING, Played, played_in
from benchmarks.faults.registry import KINDS, SHORT
from benchmarks.faults.rows import added, lost, rows_of
from configs.schema import FactoryConfig
from flows.runs.run import run_id


@pytest.fixture
def trial(copied: FactoryConfig, tmp_path: Path) -> Trial:
    """A trial in a finished folder, as if it were the undisturbed run too."""
    bench = Bench(HERE, tmp_path, "", short=True, seed=1)
    data_dir = bench.new_folder("trial")
    shutil.copytree(copied.data_dir, data_dir)
    rows = rows_of(copied.data_dir, run_id(copied))
    undisturbed = Undisturbed(copied.data_dir, run_id(copied), rows, Played())
    return Trial(bench, Outcome("made up"), undisturbed, (), data_dir)


def change(trial: Trial, sql: str) -> None:
    with duckdb.connect(trial.data_dir / "trajectories.duckdb") as connection:
        connection.execute(sql)


def test_an_untouched_folder_survives(trial: Trial) -> None:
    trial.hit("nothing")
    trial.settle()
    assert trial.outcome.problems == []
    assert (trial.outcome.tried, trial.outcome.survived, trial.outcome.lost) == (1, 1, 0)
    assert sum(rows.total() for rows in trial.undisturbed.rows.values()) > 900


def test_a_deleted_row_is_lost_and_one_more_is_added(trial: Trial) -> None:
    change(trial, "DELETE FROM rollouts WHERE rollout_id = (SELECT min(rollout_id) FROM rollouts)")
    trial.hit("a row is deleted")
    trial.settle()
    assert (trial.outcome.lost, trial.outcome.added, trial.outcome.survived) == (1, 0, 0)
    assert "1 rows lost" in trial.outcome.problems[0]


def test_a_changed_value_is_a_row_lost_and_one_added(trial: Trial) -> None:
    change(
        trial,
        "UPDATE evaluations SET n_steps = n_steps + 1 "
        "WHERE evaluation_id = (SELECT min(evaluation_id) FROM evaluations)",
    )
    found = rows_of(trial.data_dir, trial.undisturbed.run)
    assert (lost(trial.undisturbed.rows, found), added(trial.undisturbed.rows, found)) == (1, 1)


@pytest.mark.parametrize(("kills", "survived"), [(2, 2), (1, 0)])
def test_more_batches_again_than_were_in_flight_are_a_problem(
    kills: int, survived: int, trial: Trial
) -> None:
    (trial.data_dir.parent / "played.log").write_text("batch score\nepisode\nepisode\nbatch score\nepisode\n")
    for _ in range(kills):
        trial.hit("killed")
    trial.settle()
    assert trial.outcome.redone == Played(2, 3)
    assert trial.outcome.survived == survived


def test_reads_are_counted_and_so_are_those_that_fail(trial: Trial) -> None:
    with trial.read():
        pass
    assert (trial.outcome.reads > 0, trial.outcome.failed_reads) == (True, 0)
    published = trial.data_dir / "trajectories.duckdb"
    published.write_bytes(published.read_bytes()[:5000])
    with trial.read():
        pass
    assert trial.outcome.failed_reads > 0
    assert "reads failed" in trial.outcome.problems[0]


COUNTED = """
from tasks.stage_tasks import explore_batch
from rollouts.play import _Episode
for begin in (lambda: explore_batch._write({}, None), lambda: _Episode.started(0, None, None, None)):
    try:
        begin()
    except Exception:
        pass
"""


def test_what_is_begun_is_counted_in_another_process_also_where_it_fails(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{COUNTING}{os.pathsep}{HERE}",
        "PLAYED": str(tmp_path / "log"),
    }
    subprocess.run([sys.executable, "-c", COUNTED], cwd=HERE, env=environment, check=True)
    assert played_in(tmp_path / "log") == Played(1, 1)


def test_the_table_names_what_was_skipped_and_what_went_wrong() -> None:
    bad = Outcome("one", tried=2, survived=0, problems=["3 rows lost"])
    skipped = Outcome("two", skipped=str(Skipped("no such thing here")))
    said = table([bad, skipped])
    assert "one: 3 rows lost" in said
    assert "skipped: no such thing here" in said
    assert set(SHORT) < set(KINDS)
