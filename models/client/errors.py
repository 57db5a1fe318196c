"""What can go wrong with a request to a language model's server: what passes, and what does not.

A failure is told apart by its status and by the machine's own codes, not by its words, which every server chooses for
itself. What a refusal was about is found out by trying (`models/client/diagnosis.py`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import openai

from models.client.error_bodies import codes_in, said_in

ErrorKind = Literal[
    "rate_limit",  # 429: asked too much of it
    "overloaded",  # 503
    "server_error",  # any other 5xx
    "timeout",
    "connection",  # nobody there, or hung up in the middle
    "malformed",  # an answer that is no answer
    "stale",  # another model answered
    "key",
    "model",
    "quota",
    "context",  # the history is longer than the model's context
    "filtered",  # the provider does not answer this prompt
    "refused_sample",  # this one request was refused, others are answered
    "unsupported",  # a field of the request is not known to the server
    "refused",  # requests like this one are refused
]
PASSING: frozenset[ErrorKind] = frozenset(
    ("rate_limit", "overloaded", "server_error", "timeout", "connection", "malformed", "stale")
)
ROOM: frozenset[ErrorKind] = frozenset(("rate_limit", "overloaded", "timeout"))
"""A sign that fewer requests at once would do better."""
OF_ONE_SAMPLE: frozenset[ErrorKind] = frozenset(("context", "filtered", "refused_sample"))
"""Faults of one request, which say nothing about the others: data."""
_REFUSING = frozenset((400, 404, 405, 413, 415, 422, 500, 501))
"""With these servers refuse a field that they do not know, or a prompt that is too long."""
_FILTERED = frozenset(("content_filter", "content_policy_violation", "invalid_prompt"))
_QUOTED = 300


class RequestError(Exception):
    """One failed try. `retry_after`: seconds that the server asks for; `detail` is fit to be shown; `status` is 0 where
    there was none; `told` is all that the server said, without the key."""

    def __init__(
        self, kind: ErrorKind, detail: str, retry_after: float | None = None, status: int = 0, told: str = ""
    ) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind, self.detail, self.retry_after = kind, detail, retry_after
        self.status, self.told = status, told

    @property
    def passes(self) -> bool:
        """Whether the same request may succeed later."""
        return self.kind in PASSING

    @property
    def refuses(self) -> bool:
        """Whether the server may have meant this request, and not all requests or this moment."""
        return self.status in _REFUSING and self.kind in ("refused", "model", "server_error")


def understood(error: Exception, secret: str | None = None) -> RequestError:
    """What an exception of the `openai` client, or of reading its answer, means; `secret` is cut out of what the server
    said. Others are raised again."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, (openai.APITimeoutError, TimeoutError)):
        return RequestError("timeout", "no answer in time")
    if isinstance(error, openai.APIConnectionError):
        return RequestError("connection", _cause(error, secret))
    if isinstance(error, openai.APIStatusError):
        body = error.body or error.response.reason_phrase
        return of_status(error.status_code, body, error.response.headers, secret)
    if isinstance(error, (openai.APIResponseValidationError, json.JSONDecodeError, UnicodeDecodeError)):
        return RequestError("malformed", "the answer is no JSON of a chat completion")
    raise error


def of_status(status: int, body: Any, headers: Mapping[str, str], secret: str | None) -> RequestError:
    """What an answer with this status means; `body` is its JSON, or its text."""
    if status in (401, 403):  # servers echo the key, or parts of it: what they say is not repeated
        return RequestError("key", f"the server refuses the key (HTTP {status})", status=status)
    words = _without(secret, said_in(body))
    detail = f"HTTP {status}: {words if len(words) <= _QUOTED else f'{words[:_QUOTED]} ...'}"
    kind = _kind(status, codes_in(body))
    wait = _retry_after(headers) if kind in PASSING else None
    return RequestError(kind, detail, wait, status, _without(secret, str(body)))


def _kind(status: int, codes: frozenset[str]) -> ErrorKind:
    if status == 402 or (status == 429 and "insufficient_quota" in codes):
        return "quota"
    if status == 429:
        return "rate_limit"
    if status in (400, 413, 422, 500) and any("context" in code for code in codes):
        return "context"  # context_length_exceeded, exceed_context_size_error
    if status in (408, 409, 425) or status >= 500:
        return "overloaded" if status == 503 else "server_error"
    if codes & _FILTERED:
        return "filtered"
    return "model" if status in (404, 405) else "refused"


def _without(secret: str | None, text: str) -> str:
    return text.replace(secret, "[key]") if secret else text


def _cause(error: Exception, secret: str | None) -> str:
    cause = error.__cause__
    return _without(
        secret, f"{type(cause).__name__}: {cause}" if cause and str(cause) else "the connection failed"
    )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from the header Retry-After (or retry-after-ms); None where it says nothing readable."""
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
