"""Traces, verdicts, labels of steps and tasks: what is in them, and that copied and deviated turns are marked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.exported_run import MadeUp, exported_run
from tests.support.exports import exported, said, written


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    return exported_run(tmp_path_factory.mktemp("made") / "data")


@pytest.fixture(scope="module")
def atif(made: MadeUp, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("atif") / "out"
    exported(made, out, "atif")
    return {row["trajectory_id"]: row for row in written(out)}


def test_atif_has_every_trajectory(made: MadeUp, atif: dict[str, Any]) -> None:
    kinds = {row["extra"]["kind"] for row in atif.values()}
    assert kinds == {"expert", "explored", "calibrated", "evaluation"}
    assert atif["held-out-run"]["extra"]["split"] == "seen"
    for row in atif.values():
        assert [step["step_id"] for step in row["steps"]] == list(range(1, len(row["steps"]) + 1))
        assert row["final_metrics"]["total_steps"] == len(row["steps"])


def test_copied_and_deviated_turns_are_marked(atif: dict[str, Any]) -> None:
    """Consumers of ATIF must not train on copied context."""
    copied = {
        name: [step.get("is_copied_context", False) for step in row["steps"][1:]]
        for name, row in atif.items()
    }
    assert copied["t1-calibrated"] == [True, True, False, False]
    assert copied["t1-explored"] == [True, False, False, False]
    assert copied["t1-expert"] == [False, False, False]


def test_verdicts_and_actions_are_in_extra_and_calls(atif: dict[str, Any]) -> None:
    step = atif["t1-explored"]["steps"][2]
    assert step["extra"]["verdict"] == "deviated"
    assert step["extra"]["gap"] == -0.8
    [call], [result] = step["tool_calls"], step["observation"]["results"]
    assert (call["function_name"], call["arguments"]) == ("act", {"command": "go to shelf"})
    assert result == {"source_call_id": call["tool_call_id"], "content": "The shelf is empty."}


def test_sessions_are_one_file_each(made: MadeUp, tmp_path: Path) -> None:
    exported(made, tmp_path / "out", "hf-traces", sets=("calibrated",))
    [row] = written(tmp_path / "out")
    header, *lines = row["lines"]
    assert {"type": "session", "harness": "steca-factory", "id": "t1-calibrated"}.items() <= header.items()
    assert all(line["type"] == "message" for line in lines)
    assert [role for role, _ in said([line["message"] for line in lines])] == ["user", "assistant"] * 4 + [
        "user"
    ]
    assert [line["copied"] for line in lines if "copied" in line] == [True, True, False, False]
    assert (tmp_path / "out" / "data" / "train-00000" / "t1-calibrated.jsonl").exists()


def test_sessions_in_parts_have_digests_of_their_folders(made: MadeUp, tmp_path: Path) -> None:
    report = exported(made, tmp_path / "out", "hf-traces", part_bytes=1)
    rows = json.loads((tmp_path / "out" / "manifest.json").read_text())["rows"]
    assert list(rows.values()) == [1] * report.audit.rows


def test_verdicts_have_their_evidence(made: MadeUp, tmp_path: Path) -> None:
    exported(made, tmp_path / "out", "verdicts")
    [row] = written(tmp_path / "out")
    evidence = {
        "reference_wins": 4.0,
        "reference_n": 5,
        "explored_wins": 0.0,
        "gap": -0.8,
        "verdict": "deviated",
    }
    assert evidence.items() <= row.items()
    assert 0.37 < row["reference_low"] < 0.38 < 0.96 < row["reference_high"] < 0.97  # Wilson, 4 of 5


def test_labels_of_steps(made: MadeUp, tmp_path: Path) -> None:
    exported(made, tmp_path / "out", "stepwise")
    [row] = written(tmp_path / "out")
    assert [turn.partition("Action: ")[2] for turn in row["completions"]] == ["go to fridge", "go to shelf"]
    assert (row["labels"], row["observations"]) == ([True, False], ["The fridge is closed."])


def test_tasks_for_reinforcement_learning(made: MadeUp, tmp_path: Path) -> None:
    report = exported(made, tmp_path / "out", "verl-rl")
    rows = written(tmp_path / "out")
    assert {row["extra_info"]["task_id"] for row in rows} == {"t0-0", "t1", "t2", "t3"}
    assert report.audit.dropped == {"test tasks are held out": 1}
    truth = json.loads(rows[0]["reward_model"]["ground_truth"])
    assert truth == {"world": "alfworld-generated", "task_id": "t0-0", "payload": "{}"}
    assert rows[0]["prompt"] == [{"role": "user", "content": "You are in a room. Your task: t0-0."}]


def test_the_authors_json_has_target_contrast_and_weight(made: MadeUp, tmp_path: Path) -> None:
    report = exported(made, tmp_path / "out", "steca-authors", sets=("calibrated", "expert"))
    [row] = written(tmp_path / "out")
    assert report.audit.dropped["no contrast, and the format needs one (`rejected`)"] == 1
    actions = {
        side: [text.partition("Action: ")[2] for role, text in said(row[side]) if role == "gpt"]
        for side in ("prompt", "chosen", "rejected")
    }
    assert actions["prompt"] == ["go to fridge", "go to shelf"]
    assert actions["chosen"] == ["open fridge", "take egg"]
    assert actions["rejected"] == ["go to bed", "go to sofa"]
    assert row["reward"] == 1 + 0.01 * row["deviation"]
