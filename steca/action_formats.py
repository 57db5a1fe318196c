"""How an agent's turn holds its thought and its action: as text that a policy writes, and back.

| format | a turn |
| --- | --- |
| react | `Thought: ...`, then `Action: ...` on one line (the paper's) |
| tool_call | the thought, then a call in `<tool_call>` marks: {"name": ..., "arguments": {...}} |
| code | the thought, then a block between lines of three backticks: the action, over several lines |
| text | the action, and nothing else: there are no thoughts |
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Protocol

from steca.turns import parse_turn
from steca.types import Turn
from steca.vocabulary import ActionFormatName


class ActionFormat(Hashable, Protocol):
    @property
    def instruction(self) -> str:
        """What a chat model is told about the form of its turns."""
        ...

    @property
    def hint(self) -> str:
        """The form in a few words, for a turn that had no action."""
        ...

    def text(self, turn: Turn) -> str:
        """The exact text that a policy is trained to write."""
        ...

    def parse(self, text: str) -> tuple[str, str] | None:
        """(thought, action) of the first action in a text; None if it has none. What is written after the action was
        written without seeing the world's answer, and is dropped."""
        ...


@dataclass(frozen=True)
class React:
    instruction: str = (
        "Write every turn in this form, one thought and one action, and nothing after the action:\n"
        "Thought: what you know so far, and what has to be done next\n"
        "Action: one of the actions below"
    )
    hint: str = '"Thought: ...", then "Action: ..." on a line of its own'

    def text(self, turn: Turn) -> str:
        return f"Thought: {turn.thought}\nAction: {turn.action}"

    def parse(self, text: str) -> tuple[str, str] | None:
        return parse_turn(text)


_CALL = re.compile(r"<tool_call>(?P<call>.*?)(?:</tool_call>|\Z)", re.DOTALL)
ACT = "act"
"""The tool of a world that names none. Its argument `command` is the action."""
ACT_TOOL = {
    "name": ACT,
    "description": "Do one of the actions.",
    "parameters": {
        "type": "object",
        "properties": {"command": {"type": "string", "description": "The action, as text"}},
        "required": ["command"],
    },
}


@dataclass(frozen=True)
class ToolCall:
    """An action of a world with tools of its own is the call as JSON: {"name": ..., "arguments": {...}}."""

    instruction: str = (
        "Write every turn in this form: what you think, then one call of a tool, and nothing after it:\n"
        '<tool_call>\n{"name": the tool, "arguments": its arguments}\n</tool_call>'
    )
    hint: str = '<tool_call>{"name": ..., "arguments": {...}}</tool_call>'

    def text(self, turn: Turn) -> str:
        written = f"<tool_call>\n{_compact(call_of(turn.action))}\n</tool_call>"
        return f"{turn.thought}\n{written}" if turn.thought else written

    def parse(self, text: str) -> tuple[str, str] | None:
        found = _CALL.search(text)
        call = _call(found["call"]) if found else None
        if found is None or call is None:
            return None
        arguments = call["arguments"]
        own = call["name"] == ACT and isinstance(arguments.get("command"), str)
        action = arguments["command"].strip() if own else _compact(call)
        return (" ".join(text[: found.start()].split()), action) if action else None


def call_of(action: str) -> dict[str, Any]:
    """The call that an action is: {"name": ..., "arguments": {...}}."""
    return _call(action) or {"name": ACT, "arguments": {"command": action}}


def _call(text: str) -> dict[str, Any] | None:
    """The call in a JSON text; None if it is none."""
    try:
        call = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        return None
    arguments = call.get("arguments", {})
    return {"name": call["name"], "arguments": arguments} if isinstance(arguments, dict) else None


def _compact(call: dict[str, Any]) -> str:
    return json.dumps(call, ensure_ascii=False)


_BLOCK = re.compile(r"^[ \t]*```[^\n`]*\n(?P<code>.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Code:
    instruction: str = (
        "Write every turn in this form: what you think, then one block of code, and nothing after it:\n"
        "```\nthe action, on one or several lines\n```"
    )
    hint: str = "a block of code between two lines of three backticks"

    def text(self, turn: Turn) -> str:
        block = f"```\n{turn.action}\n```"
        return f"{turn.thought}\n{block}" if turn.thought else block

    def parse(self, text: str) -> tuple[str, str] | None:
        found = _BLOCK.search(text.replace("\r\n", "\n"))
        if not found or not found["code"].strip():
            return None
        return " ".join(text[: found.start()].split()), found["code"].rstrip()


@dataclass(frozen=True)
class Text:
    instruction: str = "Write every turn as one action, without anything before or after it."
    hint: str = "the action itself"

    def text(self, turn: Turn) -> str:
        return turn.action

    def parse(self, text: str) -> tuple[str, str] | None:
        return ("", text.strip()) if text.strip() else None


FORMATS: dict[ActionFormatName, ActionFormat] = {
    "react": React(),
    "tool_call": ToolCall(),
    "code": Code(),
    "text": Text(),
}
REACT = FORMATS["react"]
