"""What can go wrong with a request to a language model's server: what passes, and what does not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

import openai

Kind = Literal[
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
    "refused",  # the request itself was refused
]
PASSING: frozenset[Kind] = frozenset(
    ("rate_limit", "overloaded", "server_error", "timeout", "connection", "malformed", "stale")
)
ROOM: frozenset[Kind] = frozenset(("rate_limit", "overloaded", "timeout"))
"""A sign that fewer requests at once would do better."""
_OVERFLOW = ("maximum context length", "max_tokens must be at least 1, got 0")
_FILTERED = ("content_filter", "content_policy_violation", "invalid_prompt")
_QUOTED = 300


class Trouble(Exception):
    """One failed try. `retry_after`: seconds that the server asks for; `detail` is fit to be shown."""

    def __init__(self, kind: Kind, detail: str, retry_after: float | None = None) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind, self.detail, self.retry_after = kind, detail, retry_after

    @property
    def passes(self) -> bool:
        """Whether the same request may succeed later."""
        return self.kind in PASSING


def understood(error: Exception, secret: str | None = None) -> Trouble:
    """What an exception of the `openai` client, or of reading its answer, means; `secret` is cut out of what the server
    said. Others are raised again."""
    if isinstance(error, Trouble):
        return error
    if isinstance(error, (openai.APITimeoutError, TimeoutError)):
        return Trouble("timeout", "no answer in time")
    if isinstance(error, openai.APIConnectionError):
        return Trouble("connection", _cause(error, secret))
    if isinstance(error, openai.APIStatusError):
        return _of_status(error, secret)
    if isinstance(error, (openai.APIResponseValidationError, json.JSONDecodeError, UnicodeDecodeError)):
        return Trouble("malformed", "the answer is no JSON of a chat completion")
    raise error


def _of_status(error: openai.APIStatusError, secret: str | None) -> Trouble:
    status = error.status_code
    if status in (401, 403):  # servers echo the key, or parts of it: what they say is not repeated
        return Trouble("key", f"the server refuses the key (HTTP {status})")
    said = f"HTTP {status}: {_said(error, secret)}"
    if status == 429:
        if "insufficient_quota" in (error.code, error.type):
            return Trouble("quota", said)
        return Trouble("rate_limit", said, _retry_after(error.response.headers))
    if status in (408, 409, 425) or status >= 500:
        kind: Kind = "overloaded" if status == 503 else "server_error"
        return Trouble(kind, said, _retry_after(error.response.headers))
    if status == 404:
        return Trouble("model", said)
    if error.code == "context_length_exceeded" or any(sign in said.lower() for sign in _OVERFLOW):
        return Trouble("context", said)
    if error.code in _FILTERED:
        return Trouble("filtered", said)
    return Trouble("refused", said)


def _said(error: openai.APIStatusError, secret: str | None) -> str:
    """The server's own words, cut, without the key."""
    body = error.body
    while isinstance(body, dict):
        body = body.get("error") or body.get("message") or body.get("detail") or str(body)
    text = " ".join(str(body or error.response.reason_phrase).split())
    text = text.replace(secret, "[key]") if secret else text
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]} ..."


def _cause(error: Exception, secret: str | None) -> str:
    cause = error.__cause__
    text = f"{type(cause).__name__}: {cause}" if cause and str(cause) else "the connection failed"
    return text.replace(secret, "[key]") if secret else text


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from the header Retry-After (or retry-after-ms); None where it says nothing readable."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        value = headers.get("retry-after", "")
        try:
            return max(0.0, float(value))
        except ValueError:
            return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
