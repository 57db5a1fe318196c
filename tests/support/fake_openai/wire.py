"""Sends replies over the wire, down to the byte at which the connection breaks."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP response and how it is sent. `delay`: seconds before its first byte (inf: never).

    `length`: the content-length header if it differs from the body's length. Only `sent` bytes of the body are sent
    before the connection is closed (-1: not even the headers), or reset with `reset`. The body is sent in `pieces`,
    `pause` seconds apart. `down`: instead the server dies for this many seconds, and then serves `revived_model`.
    """

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    media: str = "application/json"
    delay: float = 0.0
    length: int | None = None
    sent: int | None = None
    reset: bool = False
    pieces: int = 1
    pause: float = 0.0
    down: float | None = None
    revived_model: str | None = None

    def head(self) -> bytes:
        lines = {
            "content-type": self.media,
            "content-length": str(len(self.body) if self.length is None else self.length),
            **self.headers,
        }
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"HTTP/1.1 {self.status} Whatever\r\n{text}\r\n".encode()

    def edited(self, edit: Callable[[dict[str, Any]], object]) -> Reply:
        """The same reply with its JSON changed in place by `edit`."""
        data = json.loads(self.body)
        edit(data)
        return replace(self, body=json.dumps(data).encode())


def bound(port: int, host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    return sock


async def wait(reader: asyncio.StreamReader, seconds: float) -> None:
    """Wait (inf: forever). Raises ConnectionError as soon as the client disconnects."""
    if not seconds:
        return
    gone = asyncio.ensure_future(reader.read(1))
    done, _ = await asyncio.wait({gone}, timeout=seconds if math.isfinite(seconds) else None)
    if done:
        assert gone.exception() or gone.result() == b"", "a second request on a connection before the answer"
        raise ConnectionAbortedError
    gone.cancel()
    with suppress(asyncio.CancelledError):
        await gone


async def send(reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Whether the connection can be used again."""
    if reply.sent != -1:
        body = reply.body if reply.sent is None else reply.body[: reply.sent]
        if reply.pieces == 1:
            # One write: the second of two small ones would wait for the other side's delayed acknowledgement.
            writer.write(reply.head() + body)
        else:
            await _trickle(reply, reader, writer)
        await writer.drain()
    if reply.sent is None:
        return True
    if reply.reset:
        linger = struct.pack("ii", 1, 0)  # closing then sends a reset
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()
    return False


async def _trickle(reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(reply.head())
    size = math.ceil(len(reply.body) / reply.pieces)
    for start in range(0, len(reply.body), size):
        await wait(reader, reply.pause)
        writer.write(reply.body[start : start + size])
