"""Client endpoints for fake servers, and the outcomes of lists of requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from http.client import HTTPException
from typing import Any
from urllib import request as http

from configs.servers import EndpointConfig
from models.client.calls import CallLog, Reply
from models.client.chat_request import ChatRequest
from models.client.endpoint import Endpoint, EndpointFault, Verify
from models.client.errors import RequestError
from steca.vocabulary import CallPurpose
from tests.support.call_logs import MemoryCallLog
from tests.support.fake_openai.replies import default_answer
from tests.support.fake_openai.server import FakeOpenAI

MODEL = "16254a60d917ca52"
KEY = "sk-4f1c0ffee4f1c0ffee4f1c0ffee"


class Verifier:
    """Checks which models a server lists. `asked` has the addresses, in order."""

    def __init__(self, model: str = MODEL) -> None:
        self.model, self.asked = model, list[str]()

    def __call__(self, base_url: str) -> str:
        self.asked.append(base_url)
        try:
            with http.urlopen(http.Request(f"{base_url}/models"), timeout=2) as answer:
                names = [model["id"] for model in json.load(answer)["data"]]
        except (OSError, HTTPException):
            raise RequestError("connection", "it does not list its models") from None
        if self.model not in names:
            raise EndpointFault(f"{base_url} serves {names}, not {self.model}", "model")
        return self.model


def endpoint_of(
    *servers: FakeOpenAI, call_log: CallLog | None = None, key: str | None = KEY, verify: Verify | None = None,
    purpose: CallPurpose = "policy", log: Callable[[str], None] = lambda line: None, **config: Any,
) -> Endpoint:  # fmt: skip
    settings = {"timeout_seconds": 5.0, "patience_seconds": 20.0, **config}
    where = EndpointConfig(base_urls=tuple(server.url for server in servers), **settings)
    return Endpoint(where, key, purpose, MODEL, call_log or MemoryCallLog(), verify or Verifier(), log)


def ask(number: int = 0, **changes: Any) -> ChatRequest:
    """A request of the task `number`."""
    fields: dict[str, Any] = {"max_tokens": 48, "temperature": 1.0, "seed": number, **changes}
    return ChatRequest(messages=[{"role": "user", "content": f"You are in room {number}."}], **fields)


async def asked(
    endpoint: Endpoint, requests: Sequence[ChatRequest], affinities: Sequence[str] | None = None
) -> list[Reply | BaseException]:
    """The outcomes of concurrent requests. Closes the endpoint."""
    named = affinities or [request.messages[0]["content"] for request in requests]
    try:
        chats = (endpoint.chat(request, name) for request, name in zip(requests, named, strict=True))
        return await asyncio.gather(*chats, return_exceptions=True)
    finally:
        await endpoint.close()


def outcomes(
    endpoint: Endpoint, requests: Sequence[ChatRequest], affinities: Sequence[str] | None = None
) -> list[Reply | BaseException]:
    return asyncio.run(asked(endpoint, requests, affinities))


def failed(endpoint: Endpoint, request: ChatRequest | None = None) -> EndpointFault:
    """The fault that one request ends in."""
    (outcome,) = outcomes(endpoint, [request or ask()])
    assert isinstance(outcome, EndpointFault), outcome
    return outcome


def right(request: ChatRequest) -> str:
    """What the default model writes; depends only on messages and seed."""
    return default_answer(request.fields(), 0)


def texts(replies: Sequence[Reply | BaseException]) -> list[str]:
    for reply in replies:
        if isinstance(reply, BaseException):
            raise reply
    return [reply.text for reply in replies if isinstance(reply, Reply)]
