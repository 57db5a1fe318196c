"""One connection to a server: one request at a time."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable

import httpx2

from models.client.transport.responses import RawResponse, ResponseReader

_STAGGER = 0.25
"""Seconds before the next address of a host is tried (RFC 8305)."""


class Connection(asyncio.Protocol):
    """`on_lost` is called when it is closed, by whichever side."""

    def __init__(self, on_lost: Callable[[Connection], None]) -> None:
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._reader = ResponseReader()
        self._answer: asyncio.Future[RawResponse] | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the connection is closed."""
        self.used_at = 0.0
        """When the last response ended (time.monotonic)."""

    @classmethod
    async def opened(
        cls, host: str, port: int, tls: ssl.SSLContext | None, on_lost: Callable[[Connection], None]
    ) -> Connection:
        """Raises httpx2.ConnectError."""
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: cls(on_lost),
                host,
                port,
                ssl=tls,
                server_hostname=host if tls else None,
                happy_eyeballs_delay=_STAGGER,
            )
        except (OSError, UnicodeError) as error:
            raise httpx2.ConnectError(str(error)) from error
        return connection

    @property
    def is_open(self) -> bool:
        return not self.lost.done() and self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes) -> RawResponse:
        """Send a request and wait for its response. Raises httpx2.ReadError or RemoteProtocolError. The connection
        cannot be used again after an exception, also that of being cancelled: abort it."""
        if self._transport is None or not self.is_open:
            raise httpx2.ReadError("the connection was closed")
        self._reader = ResponseReader()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._answer
        finally:
            self._answer, self.used_at = None, time.monotonic()

    def abort(self) -> None:
        if self._transport:
            self._transport.abort()

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.abort()  # nobody has asked for that: the next response would be mixed up with it
            return
        try:
            response = self._reader.feed(data)
        except httpx2.RemoteProtocolError as error:
            self._answer.set_exception(error)
            return
        if response:
            self._answer.set_result(response)

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set_result(None)
        self._on_lost(self)
        if self._answer is None or self._answer.done():
            return
        response = self._reader.end() if error is None else None
        if response:
            self._answer.set_result(response)
        elif error is None:
            when = "before the answer was complete" if self._reader.has_begun else "without an answer"
            self._answer.set_exception(httpx2.RemoteProtocolError(f"the server disconnected {when}"))
        else:
            self._answer.set_exception(httpx2.ReadError(str(error)))
