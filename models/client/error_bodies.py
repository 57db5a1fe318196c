"""The JSON bodies of errors: `{"error": {...}}` as OpenAI sends it, `{"detail": ...}`, `{"object": "error"}`, or a list
of these, with any status, even 200. Only machine-readable codes are interpreted; messages are for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_CODES = frozenset(("code", "type", "status", "status_code", "error_type", "error_code"))
_MAX_DEPTH = 6
_STATUS_OF = (
    ("insufficient_quota", 429),
    ("rate_limit", 429),
    ("resource_exhausted", 429),
    ("too_many_requests", 429),
    ("overloaded", 503),
    ("unavailable", 503),
    ("context_length", 400),
    ("context_size", 400),
)
"""The statuses that codes of OpenAI, Anthropic, Google and llama.cpp stand for, for errors without a status."""


def error_in(answer: Any) -> Any | None:
    """The error in the JSON of an answer with status 200; None if there is none."""
    answer = answer[0] if isinstance(answer, list) and answer else answer
    if not isinstance(answer, dict):
        return None
    choices = answer.get("choices")
    if isinstance(choices, list) and choices:  # a router's provider may have failed halfway
        return choices[0].get("error") or None if isinstance(choices[0], dict) else None
    if answer.get("error"):
        return answer["error"]
    return answer if answer.get("object") == "error" or status_in(answer) else None


def status_in(error: Any) -> int | None:
    """The HTTP status in an error body: a number, digits, or a code that stands for one."""
    found = list(_values(error))
    numbers = (int(value) for value in found if str(value).isdecimal())
    if status := next((number for number in numbers if 400 <= number < 600), None):
        return status
    codes = codes_in(error)
    return next((status for part, status in _STATUS_OF if any(part in code for code in codes)), None)


def codes_in(error: Any) -> frozenset[str]:
    """All codes that are words, in lower case."""
    return frozenset(value.lower() for value in _values(error) if isinstance(value, str))


def message_in(error: Any) -> str:
    """The message for people, on one line; the whole body where there is none."""
    while isinstance(error, dict | list) and error:
        if isinstance(error, list):
            error = error[0] if len(error) == 1 else str(error)
        else:
            error = error.get("error") or error.get("message") or error.get("detail") or str(error)
    return " ".join(str(error).split())


def _values(error: Any, depth: int = 0) -> Iterator[Any]:
    """The values of all codes, outermost first."""
    if depth > _MAX_DEPTH or not isinstance(error, dict | list):
        return
    inner = error if isinstance(error, list) else list(error.values())
    if isinstance(error, dict):
        yield from (value for name, value in error.items() if name in _CODES and isinstance(value, str | int))
    for one in inner:
        yield from _values(one, depth + 1)
