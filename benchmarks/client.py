"""CPU time of this client for each request of a policy behind a server, layer by layer.

    python -m benchmarks.client [--requests 3000] [--repeats 3] [--in-flight 64 256] [--against FOLDER]

The server is a stand-in in a process of its own that answers at once with 40 tokens; the histories have 10 messages and
2,000 characters. Each layer is measured as a whole with what is below it, so the table's parts are differences. CPU
seconds are those of the client's process, with all of its threads. `--against`: a checkout of another version, which is
measured in the same run, in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
from rich.console import Console
from rich.table import Table

from configs.servers import EndpointConfig
from models.client.chat_request import ChatRequest
from models.client.endpoint import Endpoint
from models.policy import Message, Sampling
from models.served.openai_policy import OpenAIPolicy
from tasks.call_log import BatchCallLog

MODEL = "16254a60d917ca52"
SAMPLED = Sampling(temperature=1.0, max_tokens=64)
LAYERS = {
    "http": "HTTP: sending bytes, receiving bytes",
    "openai": "the openai package: JSON, headers, options",
    "endpoint": "retries, load balancing, ids, reading the answer",
    "journal": "rows of the call log, the journal's file",
    "policy": "the turn queue: between two threads",
}
"""The layers, from below, and what each adds."""
TEXT = (
    "Thought: I have to look for a mug first, and mugs are often on a desk or a shelf.\nAction: go to desk 1"
)


def history(number: int) -> list[Message]:
    """10 messages with 2,000 characters in all, that begin alike in groups of 8."""
    told = f"You are in room {number // 8}, at turn {number}. ".ljust(200, "x")
    return [
        {"role": "assistant" if place % 2 else "user", "content": told if place in (0, 9) else told[::-1]}
        for place in range(10)
    ]


def request(number: int) -> ChatRequest:
    return ChatRequest(history(number), 64, temperature=1.0, seed=number)


class Answering(asyncio.Protocol):
    """Answers each request on a connection with the same bytes; reads nothing of it but its length."""

    def __init__(self) -> None:
        self._got = bytearray()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._got += data
        while (end := self._got.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._got[:end]).lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            if len(self._got) < end + 4 + length:
                return
            del self._got[: end + 4 + length]
            self._transport.write(_ANSWER)


def _answer() -> bytes:
    usage = {
        "prompt_tokens": 520,
        "completion_tokens": 40,
        "total_tokens": 560,
        "prompt_tokens_details": None,
    }
    message = {"role": "assistant", "content": TEXT, "refusal": None, "reasoning": None, "tool_calls": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop", "stop_reason": None}
    reply = {"id": "chatcmpl-0", "object": "chat.completion", "created": 0, "model": MODEL}
    body = json.dumps({**reply, "choices": [choice], "usage": usage}).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\ncontent-type: application/json\r\n\r\n"
    return head.encode() + body


_ANSWER = _answer()


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def serving() -> Iterator[str]:
    """The base URL of a server in a process of its own."""
    process = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.kill()
        process.wait()


class NoLog:
    """Nothing is stored."""

    blocking = False

    def find(self, key: str) -> None:
        return None

    def keep(self, key: str, reply: object, call: object) -> None: ...

    def failed(self, key: str, call: object) -> None: ...


async def _in_flight(limit: int, count: int, one: Callable[[int], Awaitable[object]]) -> None:
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await one(number)

    await asyncio.gather(*(work() for _ in range(limit)))


def _endpoint(url: str, limit: int, call_log: Any) -> Endpoint:
    where = EndpointConfig(base_urls=(url,), in_flight=limit)
    return Endpoint(where, "sk-none", "policy", MODEL, call_log, lambda _: MODEL)


def _of_loop(layer: str, url: str, limit: int, count: int, call_log: Any) -> tuple[float, float]:
    """CPU and wall seconds of a layer that needs no second thread."""

    async def measured() -> tuple[float, float]:
        endpoint = _endpoint(url, limit, call_log)
        client: openai.AsyncOpenAI = endpoint._client(endpoint.backends[0])
        headers = {name: value for name, value in client.default_headers.items() if isinstance(value, str)}
        bodies = [{"model": MODEL, **request(number).fields()} for number in range(min(count, 500))]
        sent = [json.dumps(body).encode() for body in bodies]

        async def one(number: int) -> object:
            if layer == "http":
                content = sent[number % len(sent)]
                return await client._client.post(f"{url}/chat/completions", content=content, headers=headers)
            if layer == "openai":
                body = bodies[number % len(bodies)]
                return await client.post("/chat/completions", cast_to=object, body=body)
            return await endpoint.chat(request(number + 10**6), str(number))

        await _in_flight(limit, limit, one)
        cpu, wall = time.process_time(), time.perf_counter()
        await _in_flight(limit, count, lambda number: one(number + limit))
        spent = time.process_time() - cpu, time.perf_counter() - wall
        await endpoint.close()
        return spent

    return asyncio.run(measured())


def _of_policy(url: str, limit: int, count: int, call_log: Any) -> tuple[float, float]:
    policy = OpenAIPolicy(_endpoint(url, limit, call_log), MODEL)
    asked = [history(number) for number in range(count + limit)]
    try:
        policy.act(asked[:limit], range(limit), SAMPLED)
        cpu, wall = time.process_time(), time.perf_counter()
        queue = policy.turn_queue(SAMPLED)
        waiting = list(range(limit, count + limit))[::-1]
        for _ in range(min(limit, count)):
            number = waiting.pop()
            queue.ask(number, asked[number], number)
        done = 0
        while done < count:  # as episodes do: each answer is followed by a request
            for _ in queue.answers():
                done += 1
                if waiting:
                    number = waiting.pop()
                    queue.ask(number, asked[number], number)
        return time.process_time() - cpu, time.perf_counter() - wall
    finally:
        policy.close()


def measure(layer: str, limit: int, count: int) -> tuple[float, float]:
    """CPU seconds of a request with everything up to `layer`, and requests per second."""
    with serving() as url, tempfile.TemporaryDirectory() as folder:
        call_log: Any = NoLog()
        if layer in ("journal", "policy"):
            call_log = BatchCallLog(Path(folder), {})
            call_log.begin("batch")
        if layer == "policy":
            cpu, wall = _of_policy(url, limit, count, call_log)
        else:
            cpu, wall = _of_loop(layer, url, limit, count, call_log)
    return cpu / count, count / wall


def _in_child(checkout: Path, layer: str, limit: int, count: int) -> tuple[float, float]:
    """`measure` with the code of a checkout."""
    command = [
        sys.executable,
        __file__,
        "--layer",
        layer,
        "--in-flight",
        str(limit),
        "--requests",
        str(count),
    ]
    shown = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(checkout)}, cwd=checkout, capture_output=True, text=True
    )
    if shown.returncode:
        raise SystemExit(shown.stderr[-2000:])
    cpu, rate = json.loads(shown.stdout)
    return cpu, rate


Figures = dict[tuple[str, str], list[tuple[float, float]]]
"""CPU seconds of a request and requests per second of each repeat, by checkout and layer."""


def table(found: Figures, names: Sequence[str], limit: int) -> Table:
    out = Table("part", title=f"{limit} in flight, medians (least - most)", title_justify="left")
    for name in names:
        out.add_column(f"us of CPU a request, {name}", justify="right")
    below = dict.fromkeys(names, 0.0)
    for layer, what in LAYERS.items():
        cells = []
        for name in names:
            upto = statistics.median(cpu for cpu, _ in found[name, layer])
            cells.append(f"{1e6 * (upto - below[name]):.0f}")
            below[name] = upto
        out.add_row(what, *cells)
    whole = {name: [cpu for cpu, _ in found[name, "policy"]] for name in names}
    spans = [f"{1e6 * below[n]:.0f} ({1e6 * min(whole[n]):.0f} - {1e6 * max(whole[n]):.0f})" for n in names]
    out.add_row("all", *spans)
    rates = [statistics.median(rate for _, rate in found[name, "policy"]) for name in names]
    out.add_row("requests/s of one process", *(f"{rate:.0f}" for rate in rates))
    if len(names) > 1:
        ratios = [old / new for old, new in zip(whole[names[0]], whole[names[-1]], strict=True)]
        span = f"{statistics.median(ratios):.2f}x ({min(ratios):.2f} - {max(ratios):.2f})"
        out.add_row("less CPU a request", *[""] * (len(names) - 1), span)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--against", type=Path)
    parser.add_argument("--layer", choices=LAYERS, help="print the figures of one layer as JSON")
    parser.add_argument("--serve", action="store_true", help="be the server")
    given = parser.parse_args()
    if given.serve:
        asyncio.run(_serve())
        return
    if given.layer:
        print(json.dumps(measure(given.layer, given.in_flight[0], given.requests)))
        return
    from benchmarks.measuring import machine

    checkouts = {"before": given.against.resolve()} if given.against else {}
    checkouts["now"] = Path(__file__).resolve().parents[1]
    console = Console(width=110)
    console.print(machine())
    for limit in given.in_flight:
        found: Figures = {(name, layer): [] for name in checkouts for layer in LAYERS}
        for _ in range(given.repeats):
            for name, layer in ((name, layer) for layer in LAYERS for name in checkouts):
                found[name, layer].append(_in_child(checkouts[name], layer, limit, given.requests))
        console.print(table(found, list(checkouts), limit))


if __name__ == "__main__":
    main()
