"""The list of runs."""

from __future__ import annotations

from storage.faults import StorageFault
from storage.runs import choose_run
from view.published import Published, Row

RUNS = """
SELECT r.run_id, r.name, r.created_at, r.status, r.stages_done, r.stages, r.rounds, r.seed, r.world, r.policy, r.mode,
    r.preset, r.package_version,
    (SELECT list({'comparison': c.comparison, 'arm': c.arm}) FROM comparisons c WHERE c.run_id = r.run_id) AS arms
FROM runs r ORDER BY r.created_at DESC, r.run_id
"""
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
    if published.row("SELECT run_id FROM run_configs WHERE run_id = $run", run=run) is None:
        raise StorageFault(f"no run has the id {run}: `steca status` lists the runs")


def run_called(published: Published, run: str | None) -> str:
    """The id of a run that is given by its id, its name or the first letters of its id; of the newest, if None. Raises
    StorageFault where there is none, or several match."""
    names = {row["run_id"]: row["name"] for row in published.rows(RUNS)}
    return (
        next(iter(names))
        if run is None and names
        else choose_run(run or "", names, published.store.published)
    )
