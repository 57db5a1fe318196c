"""What the fake server accepts: the strictest reading of the chat completions API, so that a client that works here
works everywhere. Anything unknown, of a wrong type or out of range is refused, never ignored."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jsonschema

from tests.support.fake_openai.replies import Dialect, Request

REQUIRED = {"model", "messages"}


class Refused(Exception):
    """A request that breaks a rule. `param` is the field at fault."""

    def __init__(self, message: str, param: str, code: str = "invalid_value") -> None:
        super().__init__(message)
        self.param = param
        self.code = code


def _number(low: float, high: float, *, open_low: bool = False) -> Callable[[Any], bool]:
    return lambda v: type(v) in (int, float) and low <= v <= high and not (open_low and v == low)


def _integer(low: int, high: int = 2**63 - 1) -> Callable[[Any], bool]:
    return lambda v: type(v) is int and low <= v <= high


def _texts(value: Any, most: int | None = None) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) <= (most or len(value))
        and all(isinstance(text, str) and text for text in value)
    )


def _stop(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value != "") or _texts(value, most=4)


def _flag(value: Any) -> bool:
    return type(value) is bool


def _mapping(value: Any) -> bool:
    return isinstance(value, dict)


PLAIN: dict[str, Callable[[Any], bool]] = {
    "model": lambda v: isinstance(v, str) and v != "",
    "messages": lambda v: isinstance(v, list) and v != [],
    "temperature": _number(0, 2),
    "top_p": _number(0, 1, open_low=True),
    "n": lambda v: v == 1 and type(v) is int,
    "stream": lambda v: v is False,
    "max_tokens": _integer(1),
    "max_completion_tokens": _integer(1),
    "seed": _integer(-(2**63)),
    "stop": _stop,
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "user": lambda v: isinstance(v, str),
    "response_format": _mapping,
}
"""Request fields that every OpenAI-compatible server supports, with a check of the value."""

VLLM: dict[str, Callable[[Any], bool]] = {
    **PLAIN,
    "structured_outputs": _mapping,
    "top_k": _integer(-1),
    "min_p": _number(0, 1),
    "repetition_penalty": _number(0, 2, open_low=True),
    "stop_token_ids": lambda v: isinstance(v, list) and all(type(token) is int for token in v),
    "add_generation_prompt": _flag,
    "continue_final_message": _flag,
    "skip_special_tokens": _flag,
    "chat_template_kwargs": _mapping,
}
"""vLLM's extra fields. Newer releases silently ignore the old guided_choice, so it is refused here."""


def check(request: Request, dialect: Dialect) -> None:
    """Raises Refused at the first broken rule."""
    known = VLLM if dialect == "vllm" else PLAIN
    for name in sorted(REQUIRED - request.keys()):
        raise Refused(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")
    for name, value in request.items():
        if name not in known:
            raise Refused(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
        if not known[name](value):
            raise Refused(f"Invalid value for '{name}': {value!r}.", name)
    if {"max_tokens", "max_completion_tokens"} <= request.keys():
        raise Refused("'max_tokens' and 'max_completion_tokens' must not be set together.", "max_tokens")
    _check_messages(request)
    if "response_format" in request:
        _check_format(request["response_format"])
    if "structured_outputs" in request:
        _check_structured(request)


def _check_messages(request: Request) -> None:
    messages = request["messages"]
    for place, message in enumerate(messages):
        if not isinstance(message, dict) or message.keys() != {"role", "content"}:
            raise Refused(f"messages[{place}] must have a role and a content, nothing else.", "messages")
        if not isinstance(message["content"], str):
            raise Refused(f"Invalid type for 'messages[{place}].content': expected a string.", "messages")
    roles = [message["role"] for message in messages]
    turns = roles[1:] if roles[0] == "system" else roles
    if turns != ["user", "assistant"] * (len(turns) // 2) + ["user"] * (len(turns) % 2) or not turns:
        raise Refused(
            f"Conversation roles must alternate user/assistant/user/assistant/..., not {roles}.", "messages"
        )
    continued = request.get("continue_final_message", False)
    if continued == request.get("add_generation_prompt", True):
        raise Refused("Cannot set both `continue_final_message` and `add_generation_prompt`.", "messages")
    if turns[-1] != ("assistant" if continued else "user"):
        raise Refused(f"The last message is of the wrong role to be answered: {turns[-1]}.", "messages")


def _check_format(wanted: dict[str, Any]) -> None:
    if wanted in ({"type": "text"}, {"type": "json_object"}):
        return
    if wanted.keys() != {"type", "json_schema"} or wanted["type"] != "json_schema":
        raise Refused(f"Invalid value for 'response_format': {wanted!r}.", "response_format")
    named = wanted["json_schema"]
    if not isinstance(named, dict) or not {"name", "schema"} <= named.keys() <= {
        "name", "schema", "strict", "description"
    }:  # fmt: skip
        raise Refused("'response_format.json_schema' needs a name and a schema.", "response_format")
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", str(named["name"])):
        raise Refused(f"Invalid 'response_format.json_schema.name': {named['name']!r}.", "response_format")
    _check_schema(named["schema"], "response_format")
    if named.get("strict"):
        if named["schema"].get("type") != "object":
            raise _bad_schema((), "schema must be a JSON Schema of 'type: \"object\"'")
        _check_strict(named["schema"], ())


def _check_schema(schema: Any, param: str) -> None:
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as fault:
        raise Refused(f"Invalid schema: {fault.message}", param) from fault


STRICT_KEYWORDS = {
    "type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "$ref", "$defs",
    "description", "title", "pattern", "format", "multipleOf", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "minItems", "maxItems",
}  # fmt: skip
"""The part of JSON Schema that strict structured outputs support."""


def _bad_schema(place: tuple[str, ...], what: str) -> Refused:
    return Refused(f"Invalid schema for response_format: In context={place}, {what}.", "response_format")


def _check_strict(schema: dict[str, Any], place: tuple[str, ...]) -> None:
    for keyword in sorted(schema.keys() - STRICT_KEYWORDS):
        raise _bad_schema(place, f"'{keyword}' is not permitted")
    if "$ref" in schema and len(schema) > 1:
        raise _bad_schema(place, "$ref cannot have keywords beside it")
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            raise _bad_schema(place, "'additionalProperties' is required to be supplied and to be false")
        if set(schema.get("required", ())) != schema.get("properties", {}).keys():
            raise _bad_schema(
                place, "'required' is required to be an array including every key in properties"
            )
    for keyword in ("properties", "$defs"):
        for name, part in schema.get(keyword, {}).items():
            _check_strict(part, (*place, keyword, name))
    for number, part in enumerate(schema.get("anyOf", ())):
        _check_strict(part, (*place, "anyOf", str(number)))
    if isinstance(schema.get("items"), dict):
        _check_strict(schema["items"], (*place, "items"))


def _check_structured(request: Request) -> None:
    wanted = request["structured_outputs"]
    if "response_format" in request or len(wanted) != 1 or not wanted.keys() <= {"choice", "regex", "json"}:
        raise Refused("Only one constraint on structured outputs at a time.", "structured_outputs")
    [(kind, value)] = wanted.items()
    if kind == "json":
        _check_schema(value, "structured_outputs")
    elif kind == "choice" and not _texts(value):
        raise Refused("'structured_outputs.choice' must be texts.", "structured_outputs")
    elif kind == "regex":
        try:
            re.compile(value)
        except (re.error, TypeError) as fault:
            raise Refused(f"Invalid regex: {fault}", "structured_outputs") from fault
