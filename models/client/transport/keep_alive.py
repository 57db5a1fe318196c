"""A transport of httpx2 that uses connections again, at a cost that does not grow with their number."""

from __future__ import annotations

import ssl
import time
from collections import defaultdict

import httpx2

from models.client.transport.connection import Connection
from models.client.transport.responses import RawResponse

IDLE_SECONDS = 4.0
"""An idle connection is used again for so long. uvicorn, and so vLLM, closes those that are idle for 5 s."""
Origin = tuple[bytes, bytes, int | None]
_PORTS = {b"http": 80, b"https": 443}


class KeepAliveTransport(httpx2.AsyncBaseTransport):
    """For requests whose body is in memory, and for responses that are wanted whole. It limits neither the number of
    connections nor a request's time: the caller does. No proxies. For one event loop."""

    def __init__(self, trust_env: bool) -> None:
        """`trust_env`: take certificates from SSL_CERT_FILE and SSL_CERT_DIR."""
        self._trust_env = trust_env
        self._tls: ssl.SSLContext | None = None
        self._idle: defaultdict[Origin, list[Connection]] = defaultdict(list)
        self._open: set[Connection] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        origin = (request.url.raw_scheme, request.url.raw_host, request.url.port)
        data = _head(request) + await request.aread()
        connection = self._take(origin) or await self._connect(origin)
        try:
            raw = await connection.exchange(data)
        except BaseException:
            connection.abort()
            raise
        if raw.keep_alive and connection.is_open:
            self._idle[origin].append(connection)
        else:
            connection.abort()
        return _response(raw)

    async def aclose(self) -> None:
        """Close all connections, also those in use, and wait until they are closed."""
        self._idle.clear()
        for connection in list(self._open):
            connection.abort()
            await connection.lost

    def _take(self, origin: Origin) -> Connection | None:
        """The connection that was used last; those that were idle for too long are closed."""
        idle = self._idle[origin]
        while idle:
            connection = idle.pop()
            if connection.is_open and time.monotonic() - connection.used_at < IDLE_SECONDS:
                return connection
            connection.abort()
        return None

    async def _connect(self, origin: Origin) -> Connection:
        scheme, host, port = origin
        if scheme not in _PORTS:
            raise httpx2.UnsupportedProtocol(
                f"a URL begins with http:// or https://, not {scheme.decode()}://"
            )
        tls = self._tls_context() if scheme == b"https" else None
        connection = await Connection.opened(host.decode(), port or _PORTS[scheme], tls, self._forget)
        if connection.is_open:
            self._open.add(connection)
        return connection

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = httpx2.create_ssl_context(trust_env=self._trust_env)
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        for idle in self._idle.values():
            if connection in idle:
                idle.remove(connection)


def _head(request: httpx2.Request) -> bytes:
    """Request line and headers. Raises httpx2.LocalProtocolError if one of them has a line break."""
    lines = [b"%b %b HTTP/1.1" % (request.method.encode(), request.url.raw_path)]
    lines += [b"%b: %b" % header for header in request.headers.raw]
    head = b"\r\n".join(lines)
    if not len(lines) - 1 == head.count(b"\n") == head.count(b"\r") or b"\0" in head:
        raise httpx2.LocalProtocolError("illegal header value")  # not the value: it may be the key
    return head + b"\r\n\r\n"


def _response(raw: RawResponse) -> httpx2.Response:
    return httpx2.Response(
        raw.status,
        headers=raw.headers,
        content=raw.body,
        extensions={"http_version": b"HTTP/1.1", "reason_phrase": raw.reason},
    )
