"""Explains a refused request: is it about a feature, about this one sample, or about every request?"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from models.client.attempts import Attempts
from models.client.chat_request import ChatRequest, features
from models.client.diagnosis import diagnose
from models.client.errors import RequestError
from models.client.load_balancing import Backend

Probe = Callable[[Backend, dict[str, Any]], Awaitable[RequestError | None]]
"""Sends a body once; returns its error, None if it was answered."""
RefusalCause = Literal["feature", "sample", "all"]
_FALLBACKS = {
    "max_tokens": "max_completion_tokens is sent instead",
    "max_completion_tokens": "max_tokens is sent instead",
    "json_schema": "JSON is requested without a schema",
    "json_object": "plain text is requested",
}


def fallback_for(feature: str) -> str:
    """What is sent in place of a feature that a server does not support."""
    return _FALLBACKS.get(feature, "it is left out")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that `backend` refused with `error`, at the last of its `attempts`."""

    backend: Backend
    request: ChatRequest
    attempts: Attempts
    error: RequestError

    @property
    def is_transient(self) -> bool:
        return self.error.is_transient and not self.attempts.is_persistent

    @property
    def has_proven_features(self) -> bool:
        """Whether the server has answered requests with all features of this one."""
        known = self.backend.capabilities
        return features(self.request.without(known.unsupported)) <= known.supported


async def explain_refusal(
    refusal: Refusal, probe: Probe, log_unsupported: Callable[[Backend, str], None]
) -> RequestError | None:
    """The error that a refusal turns out to be; None if it was about a feature that is not sent any more: then the
    request can be sent again at once."""
    error, known = refusal.error, refusal.backend.capabilities
    if refusal.is_transient and refusal.has_proven_features:
        return error
    try:
        async with known.diagnosis_lock:  # other refused requests wait for this diagnosis and reuse it
            cause = await _cause(refusal, probe, log_unsupported)
    except RequestError as other:  # a transient error interrupted the diagnosis
        return other
    if cause == "feature":
        return None
    if cause == "all" or refusal.is_transient:
        return error
    too_long = known.is_too_long(refusal.request, error)
    return RequestError("context" if too_long else "refused_sample", error.detail, None, error.status)


async def _cause(
    refusal: Refusal, probe: Probe, log_unsupported: Callable[[Backend, str], None]
) -> RefusalCause:
    backend, known, sent_at = refusal.backend, refusal.backend.capabilities, refusal.attempts.sent_at
    before = known.unsupported
    if before != refusal.attempts.omitted:
        return "feature"
    if known.answered_at > sent_at and refusal.has_proven_features:
        return "sample"
    if known.refused_all_at > sent_at:
        return "all"

    async def accepts(body: dict[str, Any]) -> bool:
        return await _accepts(backend, body, probe)

    if await diagnose(refusal.request, refusal.error.body, known, accepts):
        return "sample"
    if known.unsupported == before:
        known.refused_all_at = time.monotonic()
        return "all"
    known.last_refusal = refusal.error.detail
    for feature in sorted(known.unsupported - before):
        log_unsupported(backend, feature)
    return "feature"


async def _accepts(backend: Backend, body: dict[str, Any], probe: Probe) -> bool:
    """Whether a body is answered. A server error counts as a refusal only when it comes twice. Raises RequestError for
    transient errors of other kinds."""
    for _ in range(2):
        error = await probe(backend, body)
        if error is None:
            backend.capabilities.record_supported(features(body))
            return True
        if not error.may_be_refusal and error.kind not in ("context", "filtered"):
            raise error
        if not error.is_transient:
            break
    return False
