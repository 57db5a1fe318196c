"""Finds out by probing what a refusal was about: servers word refusals in their own ways, many say nothing useful.

The first probe is a short question with all features of the refused request. If it is answered, the refusal was about
that one sample. Otherwise probes leave features out. A feature counts as unsupported only if a request without it is
answered and the same request with it is not. This takes about a dozen short requests at most, once for each server;
refused ones cost nothing.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from models.client.capabilities import Capabilities
from models.client.chat_request import LIMIT_NAMES, ChatRequest, features
from models.policy import Message

QUESTION: list[Message] = [{"role": "user", "content": "Answer with an empty JSON object: {}"}]
"""Some servers require the word JSON in the prompt for JSON output."""
_FORMATS = ("json_schema", "json_object")
Accepts = Callable[[dict[str, Any]], Awaitable[bool]]
"""Sends a body; whether the server answers it."""


async def diagnose(request: ChatRequest, message: str, server: Capabilities, accepts: Accepts) -> bool:
    """Whether the refusal of `request` with this `message` was about this one sample. If not, the unsupported features
    are added to `server`; none where even a question without optional features is refused."""
    probe = replace(request, messages=QUESTION, plain=None)
    wanted = probe.without(server.unsupported)
    if await accepts(wanted):
        return True
    unproven = sorted(features(wanted) - server.supported)
    for name in filter(lambda name: _is_named(name, message), unproven):
        for omitted in _omissions(name):
            if await accepts(probe.without(server.unsupported | omitted)):
                server.unsupported |= omitted
                return False
    server.unsupported |= await _one_by_one(probe, wanted, unproven, server.unsupported, accepts)
    return False


async def _one_by_one(
    probe: ChatRequest,
    wanted: dict[str, Any],
    unproven: list[str],
    unsupported: frozenset[str],
    accepts: Accepts,
) -> set[str]:
    """The unsupported features: first a probe without any optional ones, under either name of the limit, then one probe
    for each feature."""
    optional = features(wanted) - set(LIMIT_NAMES)
    bare = unsupported | optional | set(_FORMATS)
    found: set[str] = set()
    for limit in (set[str](), {probe.limit} & set(unproven)):
        body = probe.without(bare | limit)
        if body != wanted and await accepts(body):
            found |= limit
            break
    else:
        return found
    left = [name for name in unproven if name in optional]
    for name in left:
        if not await accepts(probe.without((bare | found) - {name})):
            found.add(name)
            left += (
                ["json_object"] if name == "json_schema" else []
            )  # any JSON may be supported without a schema
    return found


def _omissions(name: str) -> list[frozenset[str]]:
    """The sets of features to leave out, one after the other, when this feature may be unsupported."""
    alone = frozenset({name})
    return [alone, frozenset(_FORMATS)] if name == "json_schema" else [alone]


def _is_named(name: str, message: str) -> bool:
    names = (name, "response_format") if name in _FORMATS else (name,)
    return any(re.search(rf"\b{re.escape(one)}\b", message) for one in names)
