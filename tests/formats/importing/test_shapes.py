"""Which shape a row has; sessions of several lines; what rows say of training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from environments.recorded.forms import NotARun, exchanges_of
from formats.importing.rows import Raw
from formats.importing.shapes import as_recorded, runs_of
from formats.importing.training_marks import has_values, refuse_other_kinds, refuse_untrained

USER, SAYS = {"role": "user", "content": "x"}, {"role": "assistant", "content": "Action: b"}


def raws(*rows: Any, file: str = "a") -> list[Raw]:
    texts = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    return [Raw(Path(file), number, text.encode()) for number, text in enumerate(texts, start=1)]


@pytest.mark.parametrize(
    ("row", "shape"),
    [
        ({"conversations": []}, "sharegpt"),
        ({"messages": []}, "openai"),
        ({"messages": "[]"}, "openai"),
        ({"prompt": [USER], "completion": [SAYS]}, "openai"),
        ({"steps": []}, "atif"),
        ({"type": "session", "messages": []}, "hf-traces"),
    ],
)
def test_a_shape_is_known_by_its_fields(row: dict[str, Any], shape: str) -> None:
    assert as_recorded(row)[0] == shape
    assert as_recorded(row, shape)[0] == shape
    with pytest.raises(NotARun, match=f"is of the shape {shape}, and --format says other"):
        as_recorded(row, "other")


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({}, "has none of the fields .*; it has no field"),
        ({"text": 1, "a": 2}, "it has 'text', 'a'"),
        ({"messages": "["}, "has a text in messages that is no JSON list"),
        ({"prompt": [], "chosen": [], "rejected": []}, "is a preference pair and not a run"),
        (
            {"conversations": [{"from": "gpt", "value": "b"}], "messages": [{**SAYS, "weight": 0}]},
            "has messages in conversations and in messages: leave only those that are the run",
        ),
        ({"steps": json.dumps([{"source": "agent"}]), "messages": [SAYS]}, "in messages and in steps"),
        ({"messages": [SAYS], "prompt": [USER], "completion": [SAYS]}, "in messages and in completion"),
    ],
)
def test_a_row_of_no_shape_is_told_with_what_it_has(row: dict[str, Any], why: str) -> None:
    with pytest.raises(NotARun, match=why):
        as_recorded(row)


def test_prompt_and_completion_are_one_conversation() -> None:
    assert as_recorded({"prompt": [USER], "completion": [SAYS]})[1]["messages"] == [USER, SAYS]


def said(message: Any) -> dict[str, Any]:
    return {"type": "message", "message": message}


HEAD = {"type": "session", "harness": "h", "id": "t1"}


def test_the_lines_of_a_session_are_one_row() -> None:
    rows = [
        HEAD,
        said(USER),
        {"type": "note"},
        said(SAYS),
        {**HEAD, "id": "t2"},
        said(USER),
        {"messages": []},
    ]
    found = list(runs_of(raws(*rows)))
    assert [raw.line for raw, _ in found] == [1, 5, 7]
    assert found[0][1] == {**HEAD, "messages": [USER, SAYS]}
    assert found[1][1] == {**HEAD, "id": "t2", "messages": [USER]}
    assert found[0][0].kept() == "\n".join(json.dumps(row) for row in rows[:4])


@pytest.mark.parametrize("field", ["conversations", "messages", "steps", "prompt"])
def test_a_run_with_a_type_after_a_session_is_no_line_of_it(field: str) -> None:
    run = {"type": "trajectory", field: []}
    found = list(runs_of(raws(HEAD, said(USER), {"type": "note"}, run, {"type": "note"})))
    assert [raw.line for raw, _ in found] == [1, 4, 5]
    assert [found[0][1], found[1][1]] == [{**HEAD, "messages": [USER]}, run]


def test_a_session_ends_with_its_file() -> None:
    found = list(runs_of([*raws(HEAD, said(USER)), *raws(said(SAYS), file="b")]))
    assert [raw.file.name for raw, _ in found] == ["a", "b"]
    assert found[0][1] == {**HEAD, "messages": [USER]}


def test_a_broken_line_spoils_its_session_and_no_other() -> None:
    found = list(runs_of(raws(HEAD, "{", said(USER), HEAD, said(USER))))
    assert [isinstance(row, NotARun) for _, row in found] == [True, False]
    assert str(found[0][1]).startswith("is a session whose line 2 is not JSON")


@pytest.mark.parametrize(
    "mark", [{"loss": False}, {"weight": 0}, {"train": False}, {"trained": False}, {"loss_weight": 0.0}]
)
def test_a_run_with_a_turn_that_is_not_trained_is_refused(mark: dict[str, Any]) -> None:
    row = {"messages": [USER, {**SAYS, **mark}, USER, SAYS]}
    with pytest.raises(NotARun, match=r"turn 1 is left out of the loss .* and not an expert's run"):
        refuse_untrained(row, 2)
    refuse_untrained(row, 1)  # the first is then the "OK" after the instruction, as AgentTraj marks it
    refuse_untrained({"messages": [USER, SAYS | dict.fromkeys(mark, 1), USER, {**SAYS, "loss": None}]}, 2)


@pytest.mark.parametrize("name", ["gpt", "assistant", "agent", "model", "chatgpt", "bot", "Assistant", "GPT"])
@pytest.mark.parametrize(
    ("field", "role"), [("conversations", "from"), ("messages", "role"), ("steps", "source")]
)
def test_marks_are_seen_under_every_name_that_the_reader_takes_for_the_agent(
    name: str, field: str, role: str
) -> None:
    row = {field: [{role: "user"}, {role: name, "weight": 0}, {role: "user"}, {role: name}]}
    assert len(exchanges_of(row)[1]) == 2
    with pytest.raises(NotARun, match="turn 1 is left out of the loss"):
        refuse_untrained(row, 2)
    assert has_values({field: [{role: name, "reward": 0.5}]})


def test_only_the_field_of_the_shape_says_whose_a_message_is() -> None:
    """Or a user's message would be counted as a turn, and the mark of the first turn missed."""
    row = {"messages": [USER, {**SAYS, "weight": 0}, {**USER, "source": "agent"}, SAYS]}
    with pytest.raises(NotARun, match="turn 1 is left out of the loss"):
        refuse_untrained(row, 2)


def test_turns_in_a_prompt_and_copied_steps_are_not_trained_either() -> None:
    with pytest.raises(NotARun, match="turns of the agent in its prompt"):
        refuse_untrained({"prompt": [USER, SAYS], "completion": [SAYS], "messages": [USER, SAYS, SAYS]}, 2)
    with pytest.raises(NotARun, match="is_copied_context: true"):
        refuse_untrained({"steps": [{"source": "agent", "is_copied_context": True}]}, 1)


def test_values_of_turns_are_noticed() -> None:
    assert has_values({"messages": [{**SAYS, "reward": 0.5}]})
    assert has_values({"steps": [{"source": "agent", "extra": {"step_reward": 0.5}}]})
    assert not has_values({"conversations": [{"from": "gpt", "value": "Action: b"}], "reward": 1})


def test_a_copied_message_of_a_session_is_not_trained() -> None:
    [(_, row)] = runs_of(raws(HEAD, said(USER), {**said(SAYS), "copied": True}, said(USER), said(SAYS)))
    assert isinstance(row, dict)
    with pytest.raises(NotARun, match="turn 1 is left out of the loss"):
        refuse_untrained(row, 2)
    refuse_untrained(row, 1)


def test_a_run_of_a_policy_is_not_the_experts() -> None:
    for row in (
        {"kind": "explored"},
        {"extra": {"kind": "evaluation"}},
        {"metadata": {"kind": "calibrated"}},
    ):
        with pytest.raises(NotARun, match=r"is a run of the kind '.*', and not the expert's"):
            refuse_other_kinds(row)
    for name in ("calibrated", "explored_success", "sampled_success", "expert_suffix"):
        with pytest.raises(NotARun, match=f"is a training example of the set '{name}', and not a demonst"):
            refuse_other_kinds({"dataset": name, "messages": [USER, SAYS]})
    refuse_other_kinds({"dataset": "expert"})
    refuse_other_kinds({"dataset": "alfworld"})
    refuse_other_kinds({"kind": "expert", "extra": {"kind": "of another tool"}, "metadata": {"kind": ["x"]}})
