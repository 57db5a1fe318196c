"""A strict OpenAI-compatible server on the loopback interface that misbehaves on demand, down to the byte.

It runs in a thread of the test process and implements HTTP itself, so that it can cut, delay and garble its answers:

    with FakeOpenAI("small", dialect="vllm", latency=0.01) as server:
        server.plan.fail_next(Fault.rate_limit(retry_after=0.05), times=3)
        ...  # a client on server.url
        assert server.refusals == [] and server.max_concurrency <= 64

A request that breaks a rule is refused without using up a planned fault; `refusals` records it.
"""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Self

from tests.support.fake_openai.faults import Fault, Plan, Record, key_error
from tests.support.fake_openai.replies import (
    Answer,
    Dialect,
    Request,
    completion,
    default_answer,
    error_reply,
    fits,
    json_reply,
    output_limit,
    overflow,
    prompt_tokens,
    unsupported_field,
)
from tests.support.fake_openai.rules import Refused, check
from tests.support.fake_openai.wire import Reply, bound, send, wait

__all__ = ["FakeOpenAI", "Fault", "Record"]


class FakeOpenAI:
    """`plan`: which requests fail; `answer`: what the model writes; `latency`: seconds until it answers (errors come at
    once); all may change while it runs. `key`: the accepted API key; `shows_key`: errors quote a wrong key whole, not
    masked. `n_ctx`: context of prompt and answer in tokens; `overflows`: the answer to a longer prompt, by default in
    the dialect's words. `unsupported`: unsupported fields or types of response_format; `refuses`: the answer to them,
    by default in OpenAI's words. `root`: the folder that vLLM names as loaded, by default the model's name; `host`: the
    interface to listen on."""

    def __init__(
        self, model: str = "small", *, dialect: Dialect = "openai", answer: Answer = default_answer,
        key: str | None = None, shows_key: bool = False, n_ctx: int | None = None, latency: float = 0.0,
        unsupported: frozenset[str] = frozenset(), refuses: Callable[[str], Reply] = unsupported_field,
        overflows: Reply | None = None, port: int = 0, host: str = "127.0.0.1", root: str | None = None,
    ) -> None:  # fmt: skip
        self.model, self.dialect, self.answer = model, dialect, answer
        self.key, self.shows_key, self.n_ctx = key, shows_key, n_ctx
        self.latency, self.unsupported, self.root = latency, unsupported, root
        self.refuses, self.overflows = refuses, overflows
        self.plan = Plan()
        self.requests: list[Record] = []
        self.errors: list[BaseException] = []
        self._prefixes: set[str] = set()
        self._busy = 0
        self._connections: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._host, self._socket = host, bound(port, host)
        self.port: int = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    # For tests

    def __enter__(self) -> Self:
        self._thread.start()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Raises errors of the server itself, such as an answer function's."""
        self._call(self._die())
        self._call(self._end_handlers())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._socket.close()
        if self.errors:
            raise self.errors[0]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self, model: str | None = None) -> None:
        """Start, or start again, on the same port; serves `model` if given."""
        self._call(self._revive(model))

    def stop(self) -> None:
        """Break all connections and refuse new ones."""
        self._call(self._die())

    @property
    def max_concurrency(self) -> int:
        return max((record.concurrency for record in self.requests), default=0)

    @property
    def counts(self) -> Counter[str]:
        """Requests by their injected fault; "" for none."""
        return Counter(record.fault for record in self.requests)

    @property
    def refusals(self) -> list[str]:
        """The rules that requests broke; empty for a correct client."""
        return [record.refused for record in self.requests if record.refused]

    # Start and stop, in the server's own thread

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _revive(self, model: str | None) -> None:
        self.model = model or self.model
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, sock=self._socket, backlog=1024)

    async def _die(self) -> None:
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for writer in self._connections:
            writer.transport.abort()
        self._socket = bound(
            self.port, self._host
        )  # bound but not listening: the port stays ours, connections are refused

    async def _end_handlers(self) -> None:
        handlers = asyncio.all_tasks() - {asyncio.current_task()}
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)

    async def _crash(self, reply: Reply) -> None:
        assert reply.down is not None
        await self._die()
        if math.isfinite(reply.down):
            await asyncio.sleep(reply.down)
            await self._revive(reply.revived_model)

    # One connection, one request

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while await self._turn(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except Exception as fault:
            self.errors.append(fault)
        finally:
            self._connections.discard(writer)
            writer.close()

    async def _turn(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Reads a request and answers it; whether the connection can be used again."""
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = first.split(" ")
        if (method, path) == ("POST", "/v1/chat/completions"):
            return await self._chat(headers, body, reader, writer)
        return await send(self._look_up(method, path, headers), reader, writer)

    def _look_up(self, method: str, path: str, headers: dict[str, str]) -> Reply:
        if (method, path) == ("GET", "/health"):
            return Reply(200, b"")
        if (method, path) == ("GET", "/v1/models"):
            listed = {"id": self.model, "object": "model", "created": 1_700_000_000, "owned_by": "fake"}
            if self.dialect == "vllm":
                listed |= {"root": self.root or self.model, "parent": None, "max_model_len": self.n_ctx}
            return self._wrong_key(headers) or json_reply(200, {"object": "list", "data": [listed]})
        return error_reply(self.dialect, 404, f"Invalid URL ({method} {path})")

    async def _chat(
        self, headers: dict[str, str], body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        try:
            request = json.loads(body)
            assert isinstance(request, dict)
        except (ValueError, AssertionError):
            return await send(
                error_reply(self.dialect, 400, "The body is not a JSON object."), reader, writer
            )
        self._busy += 1
        number, attempt = len(self.requests), self.plan.attempt(request)
        record = Record(number, request, headers, time.monotonic(), self._busy, attempt)
        self.requests.append(record)
        try:
            reply = self._reply(record)
            await wait(reader, reply.delay)
        except ConnectionError:
            record.abandoned = True
            raise
        finally:
            self._busy -= 1  # before the answer leaves, whose reader may ask again at once
        if reply.down is not None:
            self._loop.create_task(self._crash(reply))
            return False
        record.status = reply.status if reply.sent != -1 else 0
        reply = replace(reply, headers={"x-request-id": f"req_{number}", **reply.headers})
        try:
            return await send(reply, reader, writer)
        except ConnectionError:
            record.abandoned = True
            raise

    def _reply(self, record: Record) -> Reply:
        request = record.body
        wrong = self._wrong_key(record.headers)
        if wrong:
            return wrong
        try:
            check(request, self.dialect)
        except Refused as fault:
            record.refused = str(fault)
            return error_reply(self.dialect, 400, record.refused, param=fault.param, code=fault.code)
        wrong = self._wrong_model(request)
        if wrong is None and self.n_ctx is not None:
            prompt = prompt_tokens(request["messages"])
            wrong = overflow(self.dialect, self.n_ctx, prompt, output_limit(request))
            if wrong and self.overflows and prompt > self.n_ctx:
                wrong = self.overflows
        if wrong:
            return wrong
        injected = self.plan.choose(record)
        if injected is None:
            return self._honest(record)
        record.fault = injected.name
        return injected.act(record, lambda: self._honest(record))

    def _wrong_key(self, headers: dict[str, str]) -> Reply | None:
        given = headers.get("authorization", "")
        if self.key is None or given == f"Bearer {self.key}":
            return None
        if self.dialect == "vllm" and not self.shows_key:
            return json_reply(401, {"error": "Unauthorized"})
        return key_error(given, whole=self.shows_key)

    def _wrong_model(self, request: Request) -> Reply | None:
        kind = (request.get("response_format") or {}).get("type")
        for name in sorted(self.unsupported & {*request.keys(), kind}):
            return self.refuses(name)
        if request["model"] == self.model:
            return None
        text = f"The model `{request['model']}` does not exist. Valid aliases: {self.model}."
        return error_reply(self.dialect, 404, text, param="model", code="model_not_found")

    def _honest(self, record: Record) -> Reply:
        request = record.body
        text = self.answer(request, record.number)
        record.fitting = fits(request, text)
        cached = self._cached(request)
        honest = completion(
            request, text, dialect=self.dialect, model=self.model, number=record.number, cached=cached,
            n_ctx=math.inf if self.n_ctx is None else self.n_ctx,
        )  # fmt: skip
        return replace(honest, delay=self.latency)

    def _cached(self, request: Request) -> int:
        """Tokens of the longest known prefix of the conversation, in whole messages."""
        messages = request["messages"]
        starts = [json.dumps(messages[: length + 1]) for length in range(len(messages))]
        known = sum(start in self._prefixes for start in starts)
        self._prefixes.update(starts)
        return prompt_tokens(messages[:known])
