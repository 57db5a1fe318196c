"""What a refusal was about, found out by trying: servers word their refusals as they like, and many say nothing useful.

A short question with all features of the refused request comes first. Is it answered, then the refusal was about that
one sample. Else the features are tried without each other. A feature counts as not known only where a request
without it is answered and the same request with it is not. So at most some dozen short requests are made, once for
each server; those that are refused cost nothing.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from models.client.capabilities import Capabilities
from models.client.chat_request import SIBLING, ChatRequest, features
from models.policy import Message

QUESTION: list[Message] = [{"role": "user", "content": "Answer with an empty JSON object: {}"}]
"""Some servers want to read the word JSON where they are to write it."""
_FORMATS = ("json_schema", "json_object")
Accepts = Callable[[dict[str, Any]], Awaitable[bool]]
"""Whether the server answers a body."""


async def diagnose(request: ChatRequest, told: str, server: Capabilities, accepts: Accepts) -> bool:
    """Whether the refusal of `request` with the words `told` was about its messages alone. Where it was not, `server`
    has learned which features are refused; nothing where even a bare question is."""
    probe = replace(request, messages=QUESTION, plain=None)
    wanted = probe.without(server.refused)
    if await accepts(wanted):
        return True
    doubtful = sorted(features(wanted) - server.taken)
    for name in filter(lambda name: _is_named(name, told), doubtful):
        for more in _ways_without(name):
            if await accepts(probe.without(server.refused | more)):
                server.refused |= more
                return False
    server.refused |= await _one_by_one(probe, wanted, doubtful, server.refused, accepts)
    return False


async def _one_by_one(
    probe: ChatRequest, wanted: dict[str, Any], doubtful: list[str], refused: frozenset[str], accepts: Accepts
) -> set[str]:
    """The features that are refused: without all optional ones first, by either name of the limit, then each alone."""
    optional = features(wanted) - set(SIBLING)
    bare = refused | optional | set(_FORMATS)
    found: set[str] = set()
    for limit in (set[str](), {probe.limit} & set(doubtful)):
        body = probe.without(bare | limit)
        if body != wanted and await accepts(body):
            found |= limit
            break
    else:
        return found
    left = [name for name in doubtful if name in optional]
    for name in left:
        if not await accepts(probe.without((bare | found) - {name})):
            found.add(name)
            left += ["json_object"] if name == "json_schema" else []  # any JSON may do where no schema does
    return found


def _ways_without(name: str) -> list[frozenset[str]]:
    """What to leave out where a feature is not known, step by step."""
    alone = frozenset({name})
    return [alone, frozenset(_FORMATS)] if name == "json_schema" else [alone]


def _is_named(name: str, told: str) -> bool:
    names = (name, "response_format") if name in _FORMATS else (name,)
    return any(re.search(rf"\b{re.escape(one)}\b", told) for one in names)
