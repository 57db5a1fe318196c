"""What traces say of turns: of their own run, of its last round, and each from one row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from formats.writing.export import Request, export
from storage.runs import RunFolder
from storage.store import Store
from tests.support.exported_run import EXPERT, deviation, run, task
from tests.support.made_up_run import made_up_run
from tests.support.store_rows import calibration, record_run, rollouts, scored_turn


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run `made-up` plays two trajectories and values turn 1 of each in two rounds: 1 of 2 rollouts, then by the end of
    the episode (no rollouts) and with ids that sort last. `other` shares the trajectories, and values none."""
    root = tmp_path_factory.mktemp("two-runs") / "data"
    played = [
        task("t"),
        *run("expert", "t", "expert", EXPERT, 1.0),
        *run("explored", "t", "explored", EXPERT[:2], 0.0),
    ]
    judged = deviation("d1", "t", "expert", "explored", 1, "deviated")
    undecided = {"verdict": "undecided", "rule": "too few", "gap": None, "deviation_id": "d2"}
    repair = {"task_id": "t", "trajectory_id": "explored"}
    made_up_run(
        root,
        {
            ("explore", 1): played,
            ("rewards", 1): [
                scored_turn("a-first", "explored", trajectory_id="explored"),
                *rollouts("a-first", [1.0, 0.0]),
                scored_turn("z-first", "expert", trajectory_id="expert"),
                *rollouts("z-first", [1.0, 0.0]),
                judged,
                calibration("k1", "expert_suffix", None, deviation_id="d9").model_copy(update=repair),
            ],
            ("rewards", 2): [
                scored_turn("b-last", "explored", 0.0, trajectory_id="explored"),
                scored_turn("y-last", "expert", 1.0, trajectory_id="expert"),
                judged.model_copy(update=undecided),
                calibration("k2", "expert_suffix", None, deviation_id="d2").model_copy(update=repair),
            ],
        },
    )
    [explored] = [state for state in RunFolder(root, "made-up").stages() if state.stage == "explore"]
    record_run(root, "other", *explored.batches)
    Store(root).ingest()
    return root


def turns(root: Path, run_id: str, out: Path) -> dict[str, Any]:
    """By trajectory, `extra` of its turns."""
    export(Store(root), Request("atif", run_id, out))
    rows = map(json.loads, (out / "data" / "train-00000.jsonl").read_bytes().splitlines())
    return {row["trajectory_id"]: row for row in rows}


def test_values_of_other_runs_are_not_in_it(root: Path, tmp_path: Path) -> None:
    found = turns(root, "other", tmp_path / "out")
    assert sorted(found) == ["expert", "explored"]
    for row in found.values():
        for step in row["steps"][1:]:
            assert {step["extra"][name] for name in ("reward", "rollouts", "verdict")} == {None}


@pytest.mark.parametrize(("name", "reward"), [("explored", 0.0), ("expert", 1.0)])
def test_a_turn_has_the_value_of_the_last_round(root: Path, tmp_path: Path, name: str, reward: float) -> None:
    """All of one row: not the value of one round with the rollouts of the other."""
    value = turns(root, "made-up", tmp_path / "out")[name]["steps"][2]["extra"]
    known = ("reward", "rollouts", "reward_low", "reward_high")
    assert [value[column] for column in known] == [reward, 0, reward, reward]


def test_verdict_and_repair_are_those_of_the_last_round(root: Path, tmp_path: Path) -> None:
    row = turns(root, "made-up", tmp_path / "out")["explored"]
    judged = row["steps"][2]["extra"]
    assert [judged[name] for name in ("deviation_id", "verdict", "rule", "gap")] == [
        "d2", "undecided", "too few", None
    ]  # fmt: skip
    assert (row["extra"]["calibration_id"], row["extra"]["deviation_id"]) == ("k2", "d2")
