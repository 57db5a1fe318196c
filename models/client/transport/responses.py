"""Reads one HTTP/1.1 response from the bytes of a connection (RFC 9112)."""

from __future__ import annotations

import re
from dataclasses import dataclass

import httpx2

MAX_HEAD = 64 * 1024
"""Most bytes of a status line with its headers, or of a chunk's line. Longer ones are no HTTP."""
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) (\d{3})(?: ([^\r\n]*))?")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NO_BODY = frozenset((204, 304))


@dataclass(frozen=True, slots=True)
class RawResponse:
    """`keep_alive`: whether the connection can be used for another request."""

    status: int
    reason: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    keep_alive: bool


class ResponseReader:
    """Feed it what arrives. Informational responses (1xx) are skipped."""

    def __init__(self) -> None:
        self._got = bytearray()
        self._head: RawResponse | None = None
        self._length: int | None = None
        """Bytes of the body; None: until the connection ends."""
        self._chunked = False
        self._parts: list[bytes] = []
        self._in_trailers = False

    @property
    def has_begun(self) -> bool:
        """Whether anything has arrived."""
        return bool(self._got) or self._head is not None

    def feed(self, data: bytes) -> RawResponse | None:
        """The response, once it is complete. Raises httpx2.RemoteProtocolError for what is no HTTP/1.1."""
        self._got += data
        if self._head is None and not self._read_head():
            return None
        if self._chunked:
            return self._read_chunks()
        if self._length is not None and len(self._got) >= self._length:
            return self._response(bytes(self._got[: self._length]), rest=len(self._got) - self._length)
        return None

    def end(self) -> RawResponse | None:
        """The response, if it was to end with the connection."""
        if self._head is None or self._chunked or self._length is not None:
            return None
        return self._response(bytes(self._got), rest=1)

    def _read_head(self) -> bool:
        while True:
            found = _HEAD_END.search(self._got)
            if found is None:
                _check_size(len(self._got))
                return False
            lines = bytes(self._got[: found.start()]).split(b"\n")
            del self._got[: found.end()]
            parsed = _STATUS_LINE.fullmatch(lines[0].removesuffix(b"\r"))
            if parsed is None or int(parsed[2]) in (0, 101):
                raise httpx2.RemoteProtocolError("the server does not speak HTTP/1.1")
            if int(parsed[2]) >= 200:
                break
        headers = [_header(line.removesuffix(b"\r")) for line in lines[1:]]
        self._begin(int(parsed[1]), int(parsed[2]), parsed[3] or b"", headers)
        return True

    def _begin(self, minor: int, status: int, reason: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        connection = _tokens(headers, b"connection")
        keep_alive = b"close" not in connection and (minor == 1 or b"keep-alive" in connection)
        coding = _tokens(headers, b"transfer-encoding")
        self._chunked = bool(coding) and coding[-1] == b"chunked"
        if status in _NO_BODY:
            self._chunked, self._length = False, 0
        elif not coding:
            self._length = _length(headers)
        self._head = RawResponse(status, reason, headers, b"", keep_alive)

    def _read_chunks(self) -> RawResponse | None:
        while True:
            end = self._got.find(b"\n")
            if end < 0:
                _check_size(len(self._got))
                return None
            line = bytes(self._got[:end]).removesuffix(b"\r")
            if self._in_trailers:
                del self._got[: end + 1]
                if not line:
                    return self._response(b"".join(self._parts), rest=len(self._got))
                continue
            size = _chunk_size(line)
            if size and len(self._got) < end + 1 + size + 2:
                return None
            if size:
                self._parts.append(bytes(self._got[end + 1 : end + 1 + size]))
                if self._got[end + 1 + size : end + 3 + size] != b"\r\n":
                    raise httpx2.RemoteProtocolError("a chunk of the answer is longer than its size")
                end += size + 2
            self._in_trailers = not size
            del self._got[: end + 1]

    def _response(self, body: bytes, rest: int) -> RawResponse:
        """`rest`: bytes after the response, which belong to nothing."""
        assert self._head is not None
        head = self._head
        return RawResponse(head.status, head.reason, head.headers, body, head.keep_alive and not rest)


def _header(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or not _NAME.fullmatch(name) or b"\0" in value or b"\r" in value:
        raise httpx2.RemoteProtocolError("the answer has an illegal header")
    return name, value.strip(b" \t")


def _tokens(headers: list[tuple[bytes, bytes]], wanted: bytes) -> list[bytes]:
    """The comma-separated values of a header, in lower case."""
    values = [value for name, value in headers if name.lower() == wanted]
    return [token.strip().lower() for value in values for token in value.split(b",")]


def _length(headers: list[tuple[bytes, bytes]]) -> int | None:
    values = set(_tokens(headers, b"content-length"))
    if not values:
        return None
    value = values.pop()
    if values or not value.isdigit():
        raise httpx2.RemoteProtocolError("the answer has no clear length")
    return int(value)


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip(b" \t")
    if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", digits):
        raise httpx2.RemoteProtocolError("a chunk of the answer has no size")
    return int(digits, 16)


def _check_size(size: int) -> None:
    if size > MAX_HEAD:
        raise httpx2.RemoteProtocolError(f"the answer's headers are longer than {MAX_HEAD} bytes")
