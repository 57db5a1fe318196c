"""How the text of an action becomes the server's action."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from configs.json_text import parse_json
from steca.action_formats import ACT_TOOL

STEP = "step"
"""The tool of a server whose actions are JSON, where turns are calls of tools."""
ASIDE = ("metadata", "done", "reward")
"""Fields that actions or observations of every server have: they say nothing about the game."""


class Unfit(Exception):
    """A text that is no action of the server. The message says what is one."""


class Actions(Protocol):
    def payload(self, action: str) -> dict[str, Any]:
        """Raises Unfit."""
        ...

    def tools(self) -> list[dict[str, Any]]:
        """See environments.capabilities.HasTools."""
        ...


@dataclass(frozen=True)
class TextActions:
    """The text itself, in this field."""

    field: str

    def payload(self, action: str) -> dict[str, Any]:
        return {self.field: action}

    def tools(self) -> list[dict[str, Any]]:
        return [ACT_TOOL]


@dataclass(frozen=True)
class JsonActions:
    """JSON with the schema's fields, or a call of the tool `step` with them as arguments. The server checks them."""

    schema: Mapping[str, Any]

    def payload(self, action: str) -> dict[str, Any]:
        found = _json(action)
        if found is None:
            raise Unfit(
                f"An action is a JSON object with {', '.join(map(self._shown, fields(self.schema)))}."
            )
        return found["arguments"] if _is_call(found) and found["name"] == STEP else found

    def tools(self) -> list[dict[str, Any]]:
        parameters = {**self.schema, "properties": fields(self.schema)}
        return [{"name": STEP, "description": "Do an action.", "parameters": parameters}]

    def _shown(self, name: str) -> str:
        kind = fields(self.schema)[name].get("type", "value")
        return f"{name} ({kind}{'' if name in self.schema.get('required', ()) else ', may be left out'})"


@dataclass(frozen=True)
class ToolActions:
    """A call of one of the server's tools (MCP): {"name": ..., "arguments": {...}}."""

    listed: tuple[Mapping[str, Any], ...]

    def payload(self, action: str) -> dict[str, Any]:
        call = _json(action)
        if call is None or not _is_call(call):
            names = ", ".join(str(tool["name"]) for tool in self.listed)
            raise Unfit(f'An action is a call: {{"name": ..., "arguments": {{...}}}}. The tools: {names}.')
        return {"type": "call_tool", "tool_name": call["name"], "arguments": call["arguments"]}

    def tools(self) -> list[dict[str, Any]]:
        return [
            {
                "name": tool["name"],
                "description": tool.get("description") or "",
                "parameters": tool.get("input_schema") or {},
            }
            for tool in self.listed
        ]


def calls_tools(schema: Mapping[str, Any]) -> bool:
    """Whether actions are calls of tools of an MCP server."""
    return {"tool_name", "arguments"} <= fields(schema).keys()


def actions_of(schema: Mapping[str, Any]) -> Actions:
    """By the schema of an action: text, if it has one required field or, without any, one field, and that is text."""
    own = fields(schema)
    needed = [name for name in schema.get("required", ()) if name in own] or list(own)
    if len(needed) == 1 and is_text(own[needed[0]]):
        return TextActions(needed[0])
    return JsonActions(schema)


def fields(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an action or observation, without those that all have."""
    return {name: kind for name, kind in schema.get("properties", {}).items() if name not in ASIDE}


def is_text(kind: Mapping[str, Any]) -> bool:
    """Whether a field is text, or text or null."""
    either = {one.get("type") for one in kind.get("anyOf", (kind,))}
    return "string" in either <= {"string", "null"} and "const" not in kind


def _json(text: str) -> dict[str, Any] | None:
    try:
        found = parse_json(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _is_call(found: Mapping[str, Any]) -> bool:
    return (
        found.keys() == {"name", "arguments"}
        and isinstance(found["name"], str)
        and isinstance(found["arguments"], dict)
    )
