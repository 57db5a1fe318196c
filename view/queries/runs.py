"""The list of runs."""

from __future__ import annotations

from flows.what_if import find_run
from storage.faults import StorageFault
from view.published import Published, Row

RUNS = """
SELECT r.run_id, r.name, r.created_at, r.status, r.stages_done, r.stages, r.rounds, r.seed, r.world, r.policy, r.mode,
    r.preset, r.package_version,
    (SELECT list({'comparison': c.comparison, 'arm': c.arm}) FROM comparisons c WHERE c.run_id = r.run_id) AS arms
FROM runs r ORDER BY r.created_at DESC, r.run_id
"""
KNOWN = "SELECT run_id FROM run_configs WHERE run_id = $run"
TESTED = """
SELECT run_id, split, role, round, n, rate, low, high FROM success
WHERE start = 'beginning' AND (role = 'trained' OR round = 1) ORDER BY run_id, split, role DESC, round
"""


def runs(published: Published) -> list[Row]:
    """Every run, the newest first, with the success of its policies from the beginning of tasks. Raises
    StorageFault."""
    tested: dict[str, list[Row]] = {}
    for row in published.rows(TESTED):
        tested.setdefault(row.pop("run_id"), []).append(row)
    return [{**row, "success": tested.get(row["run_id"], [])} for row in published.rows(RUNS)]


def check_known(published: Published, run: str) -> None:
    """Raises StorageFault where no run has the id."""
    if published.row(KNOWN, run=run) is None:
        raise StorageFault(f"no run has the id {run}: `steca status` lists the runs")


def run_called(published: Published, run: str | None) -> str:
    """The id of a run that is given as `find_run` takes it. Raises StageFault if there is no run, StorageFault if none
    or several match."""
    if run is not None and published.row(KNOWN, run=run):
        return run
    with published.cursor():
        return find_run(published.store, run)[0]
