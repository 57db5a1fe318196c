"""Which rows are exported: filters, conditions in SQL that cannot leave the store, and held-out tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from formats.faults import FormatFault
from storage.faults import StorageFault
from tests.support.exported_run import HELD_OUT, MadeUp, exported_run, run
from tests.support.exports import exported, lineage, written


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
    ("where", "what"),
    [
        ("random() < 0.3", "random"),
        ("weight > 1 OR (1 - RANDOM()) < 0.3", "random"),
        ("system.main.random() < 0.3", "random"),
        ("task_id IN (SELECT task_id FROM tasks WHERE random() < 0.3)", "random"),
        ("uuid() < 'a'", "uuid"),
        ("task_id IN (SELECT task_id FROM tasks USING SAMPLE 2)", "a sample"),
        ("task_id IN (SELECT task_id FROM tasks TABLESAMPLE 50%)", "a sample"),
    ],
)
def test_a_condition_that_draws_is_refused(made: MadeUp, tmp_path: Path, where: str, what: str) -> None:
    """Rows are counted, ranged and read in queries of their own, which would not agree."""
    with pytest.raises(
        FormatFault, match=rf'draws anew in every query \({what}\).* "hash\(example_id\) % 10 < 3"'
    ):
        exported(made, tmp_path / "out", "trl-sft", where=where)
    assert not list(tmp_path.iterdir())
    with pytest.raises(FormatFault, match=r"hash\(pair_id\)"):
        exported(made, tmp_path / "out", "trl-dpo", where=where)


def test_a_share_of_the_rows_can_be_asked_for(made: MadeUp, tmp_path: Path) -> None:
    """What is advised instead of random()."""
    shares = []
    for number, where in enumerate(("hash(example_id) % 2 = 0", "hash(example_id) % 2 = 1")):
        exported(made, tmp_path / str(number), "trl-sft", where=where)
        shares.append({row["example_id"] for row in lineage(tmp_path / str(number))})
    assert len(shares[0] | shares[1]) == len(shares[0]) + len(shares[1]) == 6


def test_an_unknown_column_is_told_with_those_that_there_are(made: MadeUp, tmp_path: Path) -> None:
    with pytest.raises(
        FormatFault, match=r'"n_stepz" not found.*; the columns of training examples are .*n_steps'
    ):
        exported(made, tmp_path / "out", "trl-sft", where="n_stepz = 1")


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("task_id IN (SELECT content FROM read_text('{secret}'))", "a query cannot reach"),
        ("(SELECT count(*) FROM '{secret}') > 0", "a query cannot reach"),
        ("(SELECT count(*) FROM glob('{folder}/*')) > 0", "a query cannot reach"),
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


def test_an_example_without_weight_is_not_trained_on_by_formats_without_weights(tmp_path: Path) -> None:
    """Its weight is 0 in the factory; elsewhere it would count like any other."""
    nothing = HELD_OUT.model_copy(
        update={"example_id": "nothing", "task_id": "t1", "trajectory_id": "t1-expert", "weight": 0.0}
    )
    made = exported_run(tmp_path / "data", more=[nothing])
    for format, rows in (
        ("trl-sft", 6),
        ("openai-sft", 6),
        ("llamafactory-v1-sft", 6),
        ("fireworks-sft", 7),
        ("parquet", 7),
    ):
        report = exported(made, tmp_path / format, format)
        assert report.audit.rows == rows, format
        assert any(reason.startswith("weight 0") for reason in report.audit.dropped) == (rows == 6)


def test_an_episode_that_ended_before_its_first_turn_is_a_trace(tmp_path: Path) -> None:
    made = exported_run(tmp_path / "data", more=run("t1-nothing", "t1", "explored", [], 0.0))
    for format in ("atif", "hf-traces"):
        exported(made, tmp_path / format, format, where="n_steps = 0")
    [row] = written(tmp_path / "atif")
    assert [step["message"] for step in row["steps"]] == ["You are in a room. Your task: t1."]
    [session] = written(tmp_path / "hf-traces")
    assert len(session["lines"]) == 2


@pytest.mark.parametrize("prompt", ["react", "one_shot"])
def test_the_prompt_of_the_policy_precedes_the_task(tmp_path: Path, prompt: Any) -> None:
    """As the factory puts it there."""
    made = exported_run(tmp_path / "data", policy={"prompt": prompt})
    exported(made, tmp_path / "out", "trl-sft", sets=("calibrated", "expert"))
    wanted = made.trained_on(prompt)
    for row in written(tmp_path / "out"):
        assert row["prompt"][0]["content"] == wanted[row["example_id"]].messages[0]["content"]
        assert len(row["prompt"][0]["content"]) > 500
