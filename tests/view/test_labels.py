"""Labels are kept in a file beside the store, and the last one counts."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from storage.faults import StorageFault
from tests.support.made_up_run import made_up_run
from tests.support.store_rows import deviation, step, task, trajectory
from view.labels import Label, Labels
from view.published import Published

ROWS = [task("task"), trajectory("x"), step("x", 0), step("x", 1)]


def label(deviation: str, said: str, by: str = "") -> Label:
    return Label.model_validate(
        {"deviation_id": deviation, "trajectory_id": "x", "step_index": 1, "label": said, "by": by}
    )


@pytest.fixture
def labels(tmp_path: Path) -> Labels:
    rows = [deviation(name, "deviated", ("r", 1.0, 5), ("s", 0.0, 5), step_index=1) for name in "abcd"]
    made_up_run(tmp_path, {("explore", 1): ROWS, ("rewards", 1): [*rows, deviation("e", "not_deviated")]})
    return Labels(tmp_path)


def test_the_last_one_of_a_person_counts(labels: Labels) -> None:
    for said in (label("a", "agree"), label("a", "disagree"), label("a", "agree", "Ada"), label("b", "none")):
        labels.add(said)
    assert {(each.by, each.label) for each in labels.all()} == {("", "disagree"), ("Ada", "agree")}
    assert len(labels.file.read_text().splitlines()) == 4
    assert len(labels.of("x")) == 2
    assert labels.of("y") == []


def test_precision_is_the_share_that_people_agree_with(labels: Labels) -> None:
    published = Published(labels.file.parent)
    assert labels.precision(published, "made-up") == []
    for name, said in zip("abcde", ("agree", "agree", "disagree", "agree", "disagree"), strict=True):
        labels.add(label(name, said))
    deviated, other = labels.precision(published, "made-up")
    assert (deviated["verdict"], deviated["n"], deviated["agreed"], deviated["rate"]) == (
        "deviated",
        4,
        3,
        0.75,
    )
    assert deviated["low"] < 0.75 < deviated["high"]
    assert (other["verdict"], other["rate"]) == ("not_deviated", 0.0)
    assert labels.precision(published, "another") == []


def test_half_a_line_of_a_killed_process_costs_no_label(labels: Labels) -> None:
    labels.add(label("a", "agree"))
    with labels.file.open("ab") as file:
        file.write(b'{"deviation_id": "b", "traj')
    labels.add(label("c", "disagree"))
    assert [each.deviation_id for each in labels.all()] == ["a", "c"]


def test_sql_reads_them(labels: Labels) -> None:
    labels.add(
        Label(
            deviation_id="a", trajectory_id="x", step_index=1, label="agree", note="\x1b[31m\ud7ff </script>"
        )
    )
    found = duckdb.sql(f"SELECT label, note FROM read_json('{labels.file}')").fetchall()
    assert found == [("agree", "\x1b[31m\ud7ff </script>")]
    assert json.loads(labels.file.read_text())["at"]


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "labels.jsonl").mkdir()
    with pytest.raises(StorageFault, match=r"the label was not kept: .*labels\.jsonl"):
        Labels(tmp_path).add(label("a", "agree"))
