"""Looks into a refused request: was it about a feature, about this one sample, or about all?"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from models.client.attempts import Attempts
from models.client.chat_request import ChatRequest, features
from models.client.diagnosis import diagnose
from models.client.errors import RequestError
from models.client.load_balancing import Backend

Ask = Callable[[Backend, dict[str, Any]], Awaitable[RequestError | None]]
"""Sends a body once; what it met, None where it was answered."""
RefusalCause = Literal["feature", "sample", "all"]
_LEFT_OUT = {
    "max_tokens": "max_completion_tokens is sent instead",
    "max_completion_tokens": "max_tokens is sent instead",
    "json_schema": "JSON is asked for without a schema",
    "json_object": "plain text is asked for",
}


def left_out(name: str) -> str:
    """What is done about a feature that a server refuses."""
    return _LEFT_OUT.get(name, "it is left out")


async def look_into(
    backend: Backend,
    request: ChatRequest,
    call: Attempts,
    error: RequestError,
    ask: Ask,
    learned: Callable[[Backend, str], None],
) -> RequestError | None:
    """What a refusal turns out to be; None where it was about a feature that is not sent there any more."""
    proven = features(request.without(backend.shown.refused)) <= backend.shown.taken
    if error.passes and proven and not call.is_odd:
        return error
    try:
        async with (
            backend.shown.finding_out
        ):  # the others wait for what is found out, and hardly ask themselves
            verdict = await _verdict(backend, request, call, error, ask, learned)
    except RequestError as other:  # the server has got into trouble meanwhile
        return other
    if verdict == "feature":
        return None
    if verdict == "all" or (error.passes and not call.is_odd):
        return error
    too_long = backend.shown.too_long(request, error.status, error.told)
    return RequestError("context" if too_long else "refused_sample", error.detail, None, error.status)


async def _verdict(
    backend: Backend,
    request: ChatRequest,
    call: Attempts,
    error: RequestError,
    ask: Ask,
    learned: Callable[[Backend, str], None],
) -> RefusalCause:
    shown, before = backend.shown, backend.shown.refused
    if before != call.sent_without:
        return "feature"
    if shown.answered_at > call.sent_at and features(request.without(before)) <= shown.taken:
        return "sample"
    if shown.failed_at > call.sent_at:
        return "all"

    async def accepts(body: dict[str, Any]) -> bool:
        return await _accepts(backend, body, ask)

    if await diagnose(request, error.told, shown, accepts):
        return "sample"
    if shown.refused == before:
        shown.failed_at = time.monotonic()
        return "all"
    shown.words = error.detail
    for name in sorted(shown.refused - before):
        learned(backend, name)
    return "feature"


async def _accepts(backend: Backend, body: dict[str, Any], ask: Ask) -> bool:
    """Whether a body is answered; a server error is no refusal before it has come twice. Raises RequestError where the
    server is in trouble that passes."""
    for _ in range(2):
        met = await ask(backend, body)
        if met is None:
            backend.shown.accepted(features(body))
            return True
        if not met.refuses and met.kind not in ("context", "filtered"):
            raise met
        if not met.passes:
            break
    return False
