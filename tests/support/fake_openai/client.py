"""Requests to the fake server through the official client."""

from __future__ import annotations

import asyncio
from typing import Any

import pydantic
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from tests.support.fake_openai.server import FakeOpenAI

KEY = "sk-secret-of-the-tests-000"
MESSAGES = [{"role": "user", "content": "You are in a room. Your task is to find a mug."}]
ASKED: dict[str, Any] = {"model": "small", "messages": MESSAGES, "seed": 7}


class Reflection(pydantic.BaseModel):
    thought: str
    action: str


def client_of(server: FakeOpenAI, key: str = KEY, timeout: float = 5.0) -> AsyncOpenAI:
    """The official client without retries, and without certificates, whose loading would take most of the time."""
    http = DefaultAsyncHttpxClient(verify=False)
    return AsyncOpenAI(base_url=server.url, api_key=key, max_retries=0, timeout=timeout, http_client=http)


def ask(server: FakeOpenAI, *, timeout: float = 5.0, key: str = KEY, **changes: Any) -> Any:
    """One request; what `create` returns or raises. A field set to None is left out."""
    return asyncio.run(asked(server, timeout, key, {**ASKED, **changes}))


async def asked(server: FakeOpenAI, timeout: float, key: str, fields: dict[str, Any]) -> Any:
    async with client_of(server, key, timeout) as client:
        known = {name: value for name, value in fields.items() if value is not None}
        return await client.chat.completions.create(
            model=known.pop("model"), messages=known.pop("messages"), extra_body=known
        )


def parse(server: FakeOpenAI, *, timeout: float = 5.0) -> Any:
    async def one() -> Any:
        async with client_of(server, timeout=timeout) as client:
            return await client.chat.completions.parse(**ASKED, response_format=Reflection)

    return asyncio.run(one())


async def gather(server: FakeOpenAI, requests: list[dict[str, Any]], in_flight: int = 16) -> list[Any]:
    gate = asyncio.Semaphore(in_flight)
    async with client_of(server) as client:

        async def one(changes: dict[str, Any]) -> Any:
            async with gate:
                return await client.chat.completions.create(**ASKED | changes)

        return await asyncio.gather(*map(one, requests), return_exceptions=True)


def text_of(reply: Any) -> str:
    return reply.choices[0].message.content
