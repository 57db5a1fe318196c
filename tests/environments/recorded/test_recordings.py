"""Recorded runs of other tools: each form gives the same run; a line that holds none is set aside with its reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from environments.base import EnvironmentFault, Task
from environments.recorded.recording import Recording, Recordings, read_recordings
from steca.action_formats import FORMATS, REACT
from steca.types import Turn

TURNS = (Turn("I look.", "enter hall"), Turn("There it is.", "take parcel"))
ANSWERS = ("You are in the hall.", "You take the parcel.")
FIRST = "You are in the attic."
SAID = [REACT.text(turn) for turn in TURNS]

SHAREGPT = {
    "id": "t1",
    "conversations": [
        {"from": "human", "value": "How to act."},
        {"from": "gpt", "value": "OK"},
        {"from": "human", "value": FIRST},
        {"from": "gpt", "value": SAID[0]},
        {"from": "human", "value": ANSWERS[0]},
        {"from": "gpt", "value": SAID[1]},
        {"from": "human", "value": ANSWERS[1]},
    ],
}
OPENAI = {
    "task_id": "t1",
    "messages": [
        {"role": "system", "content": "How to act."},
        {"role": "user", "content": [{"type": "text", "text": FIRST}]},
        {"role": "assistant", "content": SAID[0]},
        {"role": "user", "content": ANSWERS[0]},
        {"role": "assistant", "content": SAID[1]},
        {"role": "user", "content": ANSWERS[1]},
    ],
}


def called(command: str) -> dict[str, Any]:
    return {"function": {"name": "act", "arguments": json.dumps({"command": command})}}


TOOLS = {
    "metadata": {"task_id": "t1"},
    "messages": [
        {"role": "user", "content": FIRST},
        {"role": "assistant", "content": "I look.", "tool_calls": [called("enter hall")]},
        {"role": "tool", "content": ANSWERS[0]},
        {"role": "assistant", "content": "There it is.", "tool_calls": [called("take parcel")]},
        {"role": "tool", "content": ANSWERS[1]},
    ],
}
ATIF = {
    "schema_version": "ATIF-v1.8",
    "session_id": "t1",
    "steps": [
        {"step_id": 1, "source": "system", "message": "How to act."},
        {"step_id": 2, "source": "user", "message": FIRST},
        {
            "step_id": 3,
            "source": "agent",
            "message": "I look.",
            "tool_calls": [{"function_name": "act", "arguments": {"command": "enter hall"}}],
            "observation": {"results": [{"content": ANSWERS[0]}]},
        },
        {
            "step_id": 4,
            "source": "agent",
            "message": SAID[1],
            "observation": {"results": [{"content": ANSWERS[1]}]},
        },
    ],
}


def read(folder: Path, *lines: object) -> Recordings:
    file = folder / "runs.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return read_recordings(file, REACT)


@pytest.mark.parametrize("row", [SHAREGPT, OPENAI, TOOLS, ATIF], ids=["sharegpt", "openai", "tools", "atif"])
def test_every_form_gives_the_same_run(row: dict[str, Any], tmp_path: Path) -> None:
    found = read(tmp_path, row)
    assert found.by_id == {"t1": Recording(TURNS, ANSWERS, 1, FIRST)}
    assert found.set_aside == ()


def test_a_run_is_found_by_id_by_payload_and_by_what_was_seen_first(tmp_path: Path) -> None:
    found = read(tmp_path, SHAREGPT, {"conversations": SHAREGPT["conversations"][2:]})
    for task in (Task("t1"), Task("x", payload="t1")):
        assert found.find(task, "something else", str.__eq__) == found.by_id["t1"]
    assert found.find(Task("x"), FIRST, str.__eq__) == found.by_start[FIRST]
    assert found.find(Task("x"), FIRST.upper(), str.__eq__) is None
    assert found.find(Task("x"), FIRST.upper(), lambda one, other: one.lower() == other.lower())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "is not JSON"),
        ("[1]", "is a list and not an object"),
        (
            {"text": "x"},
            "has none of the fields conversations (ShareGPT), messages (OpenAI) and steps (ATIF)",
        ),
        ({"id": "t2", "conversations": [{"from": "human"}]}, "has no turn with an action"),
        ({"id": "t2", "conversations": [{"value": "x"}]}, "message 1 has no 'from'"),
        ({"id": "t2", "conversations": [{"from": "bird", "value": "x"}]}, "message 1 is by 'bird'"),
        (
            {"id": "t2", "messages": [{"role": "user", "content": 7}]},
            "message 1: its content is a number and not text",
        ),
        (
            {"id": "t2", "messages": [{"role": "assistant", "tool_calls": [called("a"), called("b")]}]},
            "message 1 has 2 tool calls; a turn has one action",
        ),
        (
            {"id": "t2", "messages": [{"role": "assistant", "tool_calls": [{}]}]},
            "message 1: its tool call is not",
        ),
        ({"id": "t2", "steps": [{"message": "x"}]}, "step 1 has no 'source'"),
        (
            {
                "id": "t2",
                "conversations": [{"from": "gpt", "value": SAID[0]}, {"from": "gpt", "value": "I am done."}],
            },
            "turn 2 has no action",
        ),
        ({**OPENAI, "messages": OPENAI["messages"][:4]}, "line 1 has another run of the same task"),
        ({"messages": OPENAI["messages"][2:]}, "names no task"),
    ],
)
def test_a_line_that_holds_no_run_is_set_aside_with_its_number(
    line: object, reason: str, tmp_path: Path
) -> None:
    found = read(tmp_path, SHAREGPT, "", line)
    assert list(found.by_id) == ["t1"]
    [(number, why)] = found.set_aside
    assert number == 3
    assert reason in why
    assert f"1 lines set aside: line 3 {why}" in found.remarks()[0]


def test_a_run_with_an_id_belongs_to_no_other_task_that_begins_the_same(tmp_path: Path) -> None:
    found = read(tmp_path, SHAREGPT)
    assert found.find(Task("x"), FIRST, str.__eq__) is None


def test_a_file_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        EnvironmentFault, match=r"runs.jsonl: holds no run that can be used, e.g. line 1: is not JSON"
    ):
        read(tmp_path, "{")
    with pytest.raises(EnvironmentFault, match="cannot be read: No such file"):
        read_recordings(tmp_path / "none.jsonl", REACT)


def test_calls_of_a_worlds_own_tools_stay_calls(tmp_path: Path) -> None:
    call = {"function": {"name": "search", "arguments": '{"query": "x"}'}}
    file = tmp_path / "runs.jsonl"
    file.write_text(
        json.dumps({"id": "t1", "messages": [{"role": "assistant", "content": "So.", "tool_calls": [call]}]})
    )
    [run] = read_recordings(file, FORMATS["tool_call"]).by_id.values()
    assert run.turns == (Turn("So.", '{"name": "search", "arguments": {"query": "x"}}'),)
    assert FORMATS["tool_call"].parse(FORMATS["tool_call"].text(run.turns[0])) == ("So.", run.turns[0].action)
