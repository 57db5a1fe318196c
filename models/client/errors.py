"""The errors of a request to a language model's server, and which of them are transient.

An error is classified by its HTTP status and its machine-readable codes, never by its message: each server words those
in its own way. What a refusal is about is found out by probing (`models/client/diagnosis.py`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import openai

from models.client.error_bodies import codes_in, message_in

ErrorKind = Literal[
    "rate_limit",  # 429
    "overloaded",  # 503
    "server_error",  # any other 5xx
    "timeout",
    "connection",  # refused, or broken before the answer was complete
    "malformed",  # an answer that cannot be read
    "stale",  # another model than the requested one answered
    "key",
    "model",
    "quota",
    "context",  # the history is longer than the model's context
    "filtered",  # the provider's content filter refused this prompt
    "refused_sample",  # this one request was refused while others are answered
    "unsupported",  # the server does not support a field of the request
    "refused",  # every request like this one is refused
]
TRANSIENT: frozenset[ErrorKind] = frozenset(
    ("rate_limit", "overloaded", "server_error", "timeout", "connection", "malformed", "stale")
)
OVERLOAD: frozenset[ErrorKind] = frozenset(("rate_limit", "overloaded", "timeout"))
"""Signs of overload: send fewer requests at once."""
SAMPLE_ERRORS: frozenset[ErrorKind] = frozenset(("context", "filtered", "refused_sample"))
"""Errors of one sample, which say nothing about other requests: they are stored as data."""
_REFUSAL_STATUSES = frozenset((400, 404, 405, 413, 415, 422, 500, 501))
"""Servers use these to refuse an unknown field or a prompt that is too long."""
_FILTER_CODES = frozenset(("content_filter", "content_policy_violation", "invalid_prompt"))
_MAX_QUOTED = 300


class RequestError(Exception):
    """One failed attempt. `retry_after`: seconds that the server asks to wait; `detail` is safe to show; `status` is
    the HTTP status, 0 if there was none; `body` is the whole error body, without the key."""

    def __init__(
        self, kind: ErrorKind, detail: str, retry_after: float | None = None, status: int = 0, body: str = ""
    ) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind, self.detail, self.retry_after = kind, detail, retry_after
        self.status, self.body = status, body

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed later."""
        return self.kind in TRANSIENT

    @property
    def may_be_refusal(self) -> bool:
        """Whether the server may have refused this request in particular, rather than be down or refuse everything."""
        return self.status in _REFUSAL_STATUSES and self.kind in ("refused", "model", "server_error")


def as_request_error(error: Exception, secret: str | None = None) -> RequestError:
    """The RequestError for an exception of the `openai` client or of reading its answer; `secret` is removed from the
    server's words. Other exceptions are raised again."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, (openai.APITimeoutError, TimeoutError)):
        return RequestError("timeout", "no answer in time")
    if isinstance(error, openai.APIConnectionError):
        return RequestError("connection", _cause(error, secret))
    if isinstance(error, openai.APIStatusError):
        body = error.body or error.response.reason_phrase
        return error_of_status(error.status_code, body, error.response.headers, secret)
    if isinstance(error, (openai.APIResponseValidationError, json.JSONDecodeError, UnicodeDecodeError)):
        return RequestError("malformed", "the answer is not the JSON of a chat completion")
    raise error


def error_of_status(status: int, body: Any, headers: Mapping[str, str], secret: str | None) -> RequestError:
    """The RequestError for an answer with this status; `body` is its JSON or its text."""
    if status in (401, 403):  # servers echo the key, or parts of it: their words are not repeated
        return RequestError("key", f"the server refuses the key (HTTP {status})", status=status)
    words = _redacted(secret, message_in(body))
    detail = f"HTTP {status}: {words if len(words) <= _MAX_QUOTED else f'{words[:_MAX_QUOTED]} ...'}"
    kind = _kind(status, codes_in(body))
    wait = _retry_after(headers) if kind in TRANSIENT else None
    return RequestError(kind, detail, wait, status, _redacted(secret, str(body)))


def _kind(status: int, codes: frozenset[str]) -> ErrorKind:
    if status == 402 or (status == 429 and "insufficient_quota" in codes):
        return "quota"
    if status == 429:
        return "rate_limit"
    if status in (400, 413, 422, 500) and any("context" in code for code in codes):
        return "context"  # context_length_exceeded, exceed_context_size_error
    if status in (408, 409, 425) or status >= 500:
        return "overloaded" if status == 503 else "server_error"
    if codes & _FILTER_CODES:
        return "filtered"
    return "model" if status in (404, 405) else "refused"


def _redacted(secret: str | None, text: str) -> str:
    return text.replace(secret, "[key]") if secret else text


def _cause(error: Exception, secret: str | None) -> str:
    cause = error.__cause__
    return _redacted(
        secret, f"{type(cause).__name__}: {cause}" if cause and str(cause) else "the connection failed"
    )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from the header Retry-After (or retry-after-ms); None if it is missing or unreadable."""
    try:
        seconds = _seconds(headers.get("retry-after-ms", ""), headers.get("retry-after", ""))
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds(milliseconds: str, value: str) -> float:
    if milliseconds:
        return float(milliseconds) / 1000
    try:
        return float(value)
    except ValueError:
        return (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
