"""Which rows are exported: filters, conditions in SQL that cannot leave the store, and held-out tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from formats.faults import FormatFault
from storage.faults import StorageFault
from tests.support.exported_run import MadeUp, exported_run
from tests.support.exports import exported, lineage


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    return exported_run(tmp_path_factory.mktemp("made") / "data")


@pytest.mark.parametrize(
    ("filters", "tasks"),
    [
        ({}, ["t0-0", "t1", "t1", "t1", "t2", "t3"]),
        ({"sets": ("calibrated",)}, ["t1"]),
        ({"sets": ("expert", "explored_success")}, ["t0-0", "t2"]),
        ({"verdicts": ("deviated",)}, ["t1", "t1"]),
        ({"min_weight": 1.0}, ["t0-0", "t1", "t1", "t1", "t3"]),
        ({"splits": ("train",)}, ["t0-0", "t1", "t1", "t1", "t2", "t3"]),
        ({"where": "task_id = 't2' OR target_from = 2"}, ["t1", "t2"]),
        ({"where": "task_id IN (SELECT task_id FROM calibrations) -- the repaired ones"}, ["t1", "t1", "t1"]),
        ({"where": "instruction LIKE '%t3'", "sets": ("expert_suffix",)}, ["t3"]),
    ],
)
def test_filters(made: MadeUp, tmp_path: Path, filters: dict[str, Any], tasks: list[str]) -> None:
    report = exported(made, tmp_path / "out", "trl-sft", **filters)
    assert sorted(row["task_id"] for row in lineage(tmp_path / "out")) == tasks
    left = {"test tasks are held out": 1} | (
        {} if len(tasks) == 6 else {"left out by the filters": 6 - len(tasks)}
    )
    assert report.audit.dropped == left


def test_test_tasks_are_never_trained_on(made: MadeUp, tmp_path: Path) -> None:
    """The store has a training example of a test task: no condition brings it in."""
    for where in ("true", "task_id = 'held-out' OR true", "(true) OR (true)"):
        exported(made, tmp_path / "out", "trl-sft", where=where)
        assert "held-out" not in {row["task_id"] for row in lineage(tmp_path / "out")}
    with pytest.raises(FormatFault, match="test tasks are held out"):
        exported(made, tmp_path / "other", "trl-sft", splits=("seen",))
    with pytest.raises(FormatFault, match=r"none of the 7 training examples .* passes the filters"):
        exported(made, tmp_path / "other", "trl-sft", where="task_id = 'held-out'")


@pytest.mark.parametrize(
    "where",
    [
        "",
        "  ",
        "true; DROP TABLE tasks",
        "true) UNION ALL SELECT * FROM candidates WHERE (true",
        "true) ORDER BY (weight",
        "true) LIMIT (1",
        "true) GROUP BY (weight",
        "true) OR (true",
        "true) OR wanted(true",
        "true, true",
        "true) AND weight > 1)",
        "weight >",
        "\ud800",
    ],
)
def test_a_condition_is_one_expression(made: MadeUp, tmp_path: Path, where: str) -> None:
    with pytest.raises(FormatFault, match=r"--where .*: give a condition"):
        exported(made, tmp_path / "out", "trl-sft", where=where)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("task_id IN (SELECT content FROM read_text('{secret}'))", "file system operations are disabled"),
        ("(SELECT count(*) FROM '{secret}') > 0", "file system operations are disabled"),
        ("(SELECT count(*) FROM glob('{folder}/*')) > 0", "file system operations are disabled"),
        ("no_such_column = 1", "no_such_column"),
    ],
)
def test_a_condition_cannot_leave_the_store(made: MadeUp, tmp_path: Path, where: str, says: str) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a,b\n1,2\n")
    with pytest.raises(StorageFault, match=says):
        exported(made, tmp_path / "out", "trl-sft", where=where.format(secret=secret, folder=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]


@pytest.mark.parametrize(
    ("filters", "says"),
    [
        ({"sets": ("calibratd",)}, "--sets calibratd: there is none; known for this format: calibrated, "),
        ({"verdicts": ("bad",)}, "--verdict bad: there is none; known for this format: deviated, "),
    ],
)
def test_unknown_names_are_refused(made: MadeUp, tmp_path: Path, filters: Any, says: str) -> None:
    with pytest.raises(FormatFault, match=says):
        exported(made, tmp_path / "out", "trl-sft", **filters)
    with pytest.raises(FormatFault, match="the rows of this format have no weight"):
        exported(made, tmp_path / "out", "trl-dpo", min_weight=1.0)
