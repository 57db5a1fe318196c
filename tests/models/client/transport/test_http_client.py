"""Connections are used again while they can be, and never with the bytes of another answer."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import openai
import pytest

from models.client.transport import keep_alive
from models.client.transport.http_client import DirectClient, http_client

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Scripted:
    """Answers the n-th request with the n-th bytes; `asked` has connection and head of each request."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[int, str]] = []
        self._connections = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self._connections = self._connections, self._connections + 1
        self.writers.append(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = head.lower().partition("content-length: ")[2].split("\r\n")[0]
                await reader.readexactly(int(length))
                self.asked.append((number, head))
                writer.write(self._answers.pop(0))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


Post = Callable[[], Awaitable[httpx2.Response]]


def on(server: Scripted, work: Callable[[Post], Awaitable[None]], key: str = "sk-none") -> None:
    """Run `work` with a function that sends a request through the openai package."""

    async def run() -> None:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
        http = http_client(url)
        assert isinstance(http, DirectClient)
        client = openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0, http_client=http)

        async def post() -> Any:
            return await client.post("/x", cast_to=httpx2.Response, content=b'{"a":1}')

        try:
            await work(post)
        finally:
            await client.close()
            listening.close()
            await listening.wait_closed()

    asyncio.run(asyncio.wait_for(run(), 20))


def test_one_connection_serves_one_request_after_another() -> None:
    async def work(post: Post) -> None:
        for _ in range(5):
            assert (await post()).json() == {}

    server = Scripted(*[OK] * 5)
    on(server, work)
    assert [number for number, _ in server.asked] == [0] * 5
    head = server.asked[0][1]
    assert head.startswith("POST /v1/x HTTP/1.1\r\nHost: 127.0.0.1:")
    for line in ("authorization: bearer sk-none", "content-type: application/json", "content-length: 7"):
        assert head.lower().count(line) == 1
    assert head.lower().count("host:") == head.lower().count("accept-encoding:") == 1


def test_an_idle_connection_is_left_before_the_server_closes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(post: Post) -> None:
        await post()
        monkeypatch.setattr(keep_alive, "IDLE_SECONDS", 0.0)
        await post()

    server = Scripted(OK, OK)
    on(server, work)
    assert [number for number, _ in server.asked] == [0, 1]


@pytest.mark.parametrize("late", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n7"])
def test_bytes_that_nobody_asked_for_reach_no_request(late: bytes) -> None:
    async def work(post: Post) -> None:
        await post()
        server.writers[0].write(late)
        if not late:
            server.writers[0].close()  # an idle connection that the server ends
        await asyncio.sleep(0.1)
        assert (await post()).json() == {}

    server = Scripted(OK, OK)
    on(server, work)
    assert [number for number, _ in server.asked] == [0, 1]


def test_a_cancelled_request_takes_its_connection_along() -> None:
    async def work(post: Post) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await post()
        assert (await post()).json() == {}

    server = Scripted(b"", OK)
    on(server, work)
    assert [number for number, _ in server.asked] == [0, 1]


def test_redirects_cookies_and_compression_work_as_in_the_packages_own_client() -> None:
    body = gzip.compress(b'{"b": 2}')
    moved = b"HTTP/1.1 307 Moved\r\nLocation: /v2/x\r\nContent-Length: 0\r\n\r\n"
    cookie = OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: sticky=7; Path=/\r\n\r\n")
    packed = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    async def work(post: Post) -> None:
        await post()
        await post()
        assert (await post()).json() == {"b": 2}

    server = Scripted(cookie, moved, moved, OK, packed)
    on(server, work)
    heads = [head for _, head in server.asked]
    assert [head.split(" ")[1] for head in heads] == ["/v1/x", "/v1/x", "/v1/x", "/v2/x", "/v1/x"]
    assert ["sticky=7" in head for head in heads] == [False, True, True, True, True]


def test_a_key_with_a_line_break_sends_nothing_and_is_not_told() -> None:
    async def work(post: Post) -> None:
        with pytest.raises(openai.APIConnectionError) as raised:
            await post()
        assert isinstance(raised.value.__cause__, httpx2.LocalProtocolError)
        assert "hidden" not in str(raised.value.__cause__)

    server = Scripted(OK)
    on(server, work, key="sk-\r\nX-Other: hidden")
    assert server.asked == []


@pytest.mark.parametrize(("proxy", "direct"), [("", True), ("http://127.0.0.1:9", False)])
def test_a_proxy_of_the_environment_is_left_to_the_packages_own_client(
    proxy: str, direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    assert isinstance(http_client("https://example.org/v1"), DirectClient) is direct
