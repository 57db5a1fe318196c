"""Reads an answer with status 200: the text, the thinking before it, a refusal, or an error after all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.client.calls import Reply
from models.client.error_bodies import error_in, message_in, status_in
from models.client.errors import RequestError, error_of_status
from models.thinking import ParsedTurn, split_turn

_THINKING = ("reasoning_content", "reasoning")
"""The fields in which servers return thinking separately: vLLM, SGLang, DeepSeek; newer vLLM, OpenRouter, Groq."""
_CUT_OFF = frozenset(("length", "max_tokens", "model_length"))


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply and the server's metadata; token counts are 0 if the server does not report them."""

    reply: Reply
    model: str
    prompt_tokens: int
    cached_tokens: int


def read_answer(
    data: Any, model: str, strict: bool, secret: str | None = None, opened: str = "", lead: str = ""
) -> Answer:
    """The answer in the JSON of a completion; missing text is read as "". `strict`: the answer must name `model`.
    `opened` and `lead`: see models.thinking.try_split_turn. Raises RequestError."""
    data = _parsed(data)
    error = error_in(data)
    if error is not None:
        raise _error(error, secret)
    try:
        choice = data["choices"][0]
        message = choice["message"]
        refusal, served = message.get("refusal"), data.get("model")
    except (AttributeError, IndexError, KeyError, TypeError):
        raise RequestError("malformed", "the answer contains no choice") from None
    turn = _turn_in(message, opened, lead)
    if strict and served != model:
        raise RequestError("stale", f"{served} answered instead of {model}")
    usage = data.get("usage")
    finish = choice.get("finish_reason")
    reply = Reply(
        turn.answer,
        _count(usage, "completion_tokens"),
        "length" if isinstance(finish, str) and finish in _CUT_OFF else "stop",
        turn.thinking,
        _refusal(refusal, finish, turn),
    )
    details = usage.get("prompt_tokens_details") if isinstance(usage, Mapping) else None
    return Answer(reply, str(served or ""), _count(usage, "prompt_tokens"), _count(details, "cached_tokens"))


def _parsed(data: Any) -> Any:
    """What a server has sent, whatever content type it names; JSON that is parsed already is returned as it is."""
    if not isinstance(data, bytes | str):
        return data
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise RequestError("malformed", "the answer is not the JSON of a chat completion") from None


def _error(error: Any, secret: str | None) -> RequestError:
    status = status_in(error)
    if status is None:
        message = message_in(error)[:300]
        return RequestError(
            "malformed", f"an error as the answer: {message.replace(secret, '[key]') if secret else message}"
        )
    return error_of_status(status, error, {}, secret)


def _turn_in(message: Mapping[str, Any], opened: str, lead: str) -> ParsedTurn:
    """The turn; its thinking is in a separate field, in parts of the content, or before the answer in the text."""
    content = message.get("content")
    inside = ""
    if isinstance(content, list):
        inside, content = _split_parts(content)
    if not isinstance(content, str | None):
        raise RequestError("malformed", "the answer contains no text")
    fields = [message[name] for name in _THINKING if isinstance(message.get(name), str)]
    beside = next((text for text in fields if text.strip()), "")
    turn = split_turn(content or "", "" if beside else opened, "" if beside else lead)
    return ParsedTurn(
        "\n".join(part for part in (beside.strip(), inside, turn.thinking) if part), turn.answer
    )


def _split_parts(parts: list[Any]) -> tuple[str, str]:
    """Thinking and text of a content in typed parts, as Mistral's thinking models send it."""
    texts: dict[str, list[str]] = {"thinking": [], "text": []}
    for part in parts:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if not isinstance(kind, str) or kind not in texts:
            raise RequestError("malformed", "the answer contains no text")
        inner = part.get(kind)
        texts[kind].append(_split_parts(inner)[1] if isinstance(inner, list) else str(inner or ""))
    return "".join(texts["thinking"]).strip(), "".join(texts["text"])


def _refusal(refusal: Any, finish: Any, turn: ParsedTurn) -> str:
    if isinstance(refusal, str) and refusal.strip():
        return " ".join(refusal.split())
    return "the provider's filter cut it off" if finish == "content_filter" and not turn.answer else ""


def _count(usage: object, name: str) -> int:
    """A token count; 0 if it is missing or not a number."""
    value = usage.get(name) if isinstance(usage, Mapping) else None
    return value if isinstance(value, int) else 0
