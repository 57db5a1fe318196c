"""A request for one completion, and the optional features of its body that a server may not support."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from models.policy import Message

LIMIT_NAMES = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
"""The two names of the token limit: a server may know only one of them. Other fields have one name."""
_REQUIRED = frozenset(("messages", "model"))


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """`limit` names the field that carries max_tokens; `extra` goes into the body unchanged (a server's own fields,
    response_format). `plain`: the messages for a server without response_format, where they differ. `opened` and
    `lead` are for reading the reply (models.thinking.try_split_turn)."""

    messages: Sequence[Message]
    max_tokens: int
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    plain: Sequence[Message] | None = None
    opened: str = ""
    lead: str = ""

    def fields(self) -> dict[str, Any]:
        """The body as wanted, without the model."""
        optional = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
            "stop": list(self.stop) or None,
        }
        given = {name: value for name, value in optional.items() if value is not None}
        return {"messages": list(self.messages), self.limit: self.max_tokens, **given, **self.extra}

    def without(self, unsupported: frozenset[str]) -> dict[str, Any]:
        """The body for a server that does not support these features: the limit gets its other name, a JSON schema
        falls back to any JSON and then to text, everything else is left out."""
        body = self.fields()
        if self.limit in unsupported:
            body = {LIMIT_NAMES.get(name, name) if name == self.limit else name: body[name] for name in body}
        if "json_schema" in unsupported and feature("response_format", body) == "json_schema":
            body["response_format"] = {"type": "json_object"}
        if feature("response_format", body) in unsupported:
            body = {**body, "messages": list(self.plain or self.messages)}
        return {name: value for name, value in body.items() if feature(name, body) not in unsupported}


def features(body: Mapping[str, Any]) -> frozenset[str]:
    """The optional features that a body uses."""
    return frozenset(feature(name, body) for name in body if name not in _REQUIRED)


def feature(name: str, body: Mapping[str, Any]) -> str:
    """A field's name; for response_format its type, since servers support some types and not others."""
    wanted = body.get(name)
    if name == "response_format" and isinstance(wanted, Mapping):
        return str(wanted.get("type"))
    return name
