"""How the text of an action becomes the server's action."""

from __future__ import annotations

import json
from typing import Any

import pytest

from environments.openenv.actions import (
    JsonActions,
    TextActions,
    ToolActions,
    Unfit,
    actions_of,
    calls_tools,
)
from steca.action_formats import FORMATS
from steca.types import Turn

TEXT, NUMBER = {"type": "string"}, {"type": "integer"}
MAYBE = {"anyOf": [TEXT, {"type": "null"}]}
MOVE = JsonActions({"properties": {"row": NUMBER, "note": TEXT, "metadata": {}}, "required": ["row"]})
TOOLS = ToolActions(({"name": "add", "description": "Add.", "input_schema": {"type": "object"}},))


@pytest.mark.parametrize(
    ("properties", "required", "field"),
    [
        ({"message": TEXT, "metadata": {"type": "object"}}, ["message"], "message"),
        ({"code": TEXT, "seconds": NUMBER}, ["code"], "code"),
        ({"message": TEXT}, [], "message"),
        ({"message": MAYBE}, [], "message"),
        ({"message": TEXT, "to": TEXT}, ["message", "to"], None),
        ({"message": TEXT, "to": TEXT}, [], None),
        ({"row": NUMBER}, ["row"], None),
        ({"kind": {"const": "go", "type": "string"}}, ["kind"], None),
        ({}, [], None),
    ],
)
def test_one_needed_field_of_text_takes_the_text(
    properties: dict[str, Any], required: list[str], field: str | None
) -> None:
    schema = {"properties": properties, "required": required}
    assert actions_of(schema) == (TextActions(field) if field else JsonActions(schema))


def test_text_is_sent_as_it_is() -> None:
    assert TextActions("message").payload(' {"x": 1}\n') == {"message": ' {"x": 1}\n'}


def test_json_is_sent_as_its_fields_and_so_is_a_call() -> None:
    assert MOVE.payload('{"row": 1}') == {"row": 1}
    turn = FORMATS["tool_call"].parse('<tool_call>{"name": "step", "arguments": {"row": 2}}</tool_call>')
    assert turn
    assert MOVE.payload(turn[1]) == {"row": 2}
    [tool] = MOVE.tools()
    assert (tool["name"], set(tool["parameters"]["properties"])) == ("step", {"row", "note"})


@pytest.mark.parametrize("action", ["", "row 1", "[1]", "7", '{"row": ', "[" * 100_000])
def test_what_is_no_json_object_is_told_what_one_is(action: str) -> None:
    with pytest.raises(Unfit, match=r"a JSON object with row \(integer\), note \(string, may be left out\)"):
        MOVE.payload(action)


def test_a_call_reaches_its_tool() -> None:
    call = {"name": "add", "arguments": {"a": 1}}
    written = FORMATS["tool_call"].text(Turn("Add.", json.dumps(call)))
    turn = FORMATS["tool_call"].parse(written)
    assert turn
    assert TOOLS.payload(turn[1]) == {"type": "call_tool", "tool_name": "add", "arguments": {"a": 1}}
    assert TOOLS.tools() == [{"name": "add", "description": "Add.", "parameters": {"type": "object"}}]
    for other in ("add 1", '{"name": "add"}', '{"name": 1, "arguments": {}}'):
        with pytest.raises(Unfit, match="The tools: add"):
            TOOLS.payload(other)


def test_servers_of_tools_are_known_by_the_fields_of_a_call() -> None:
    assert calls_tools({"properties": {"type": {}, "tool_name": TEXT, "arguments": {}}})
    assert not calls_tools({"properties": {"tool_name": TEXT}})
