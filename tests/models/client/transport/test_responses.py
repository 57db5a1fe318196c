"""Responses are read however their bytes are cut, and what is no HTTP/1.1 is refused."""

from __future__ import annotations

import httpx2
import pytest

from models.client.transport.responses import MAX_HEAD, RawResponse, ResponseReader

FIXED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A:  b \r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    b"3;note=x\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: x\r\n\r\n"
)
BARE = b"HTTP/1.1 200\nContent-Length: 5\n\nhello"
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"


def read(data: bytes, step: int = 10**6) -> RawResponse:
    reader = ResponseReader()
    for start in range(0, len(data), step):
        response = reader.feed(data[start : start + step])
        if response:
            assert start + step >= len(data), "it was complete before its last bytes"
            return response
    response = reader.end()
    assert response, "it is not complete"
    return response


@pytest.mark.parametrize(
    ("data", "body"), [(FIXED, b"hello"), (CHUNKED, b"hello"), (BARE, b"hello"), (EMPTY, b"")]
)
def test_a_response_is_the_same_however_its_bytes_are_cut(data: bytes, body: bytes) -> None:
    whole = read(data)
    assert (whole.body, whole.keep_alive) == (body, True)
    for step in range(1, len(data)):
        assert read(data, step) == whole


def test_headers_and_reason_are_those_of_the_response() -> None:
    response = read(FIXED)
    assert (response.status, response.reason) == (200, b"OK")
    assert response.headers == [(b"Content-Length", b"5"), (b"X-A", b"b")]


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}}",
        b"HTTP/1.1 200 OK\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nHTTP",
    ],
)
def test_a_connection_is_not_used_again_where_its_end_or_more_bytes_follow(head: bytes) -> None:
    response = read(head)
    assert (response.body, response.keep_alive) == (b"{}", False)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded: c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * MAX_HEAD,
    ],
)
def test_what_is_no_http_is_refused(data: bytes) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        ResponseReader().feed(data)


@pytest.mark.parametrize("data", [FIXED[:-1], CHUNKED[:-2], FIXED[:20], b""])
def test_a_response_that_breaks_off_is_none(data: bytes) -> None:
    reader = ResponseReader()
    assert reader.feed(data) is None
    assert reader.end() is None
    assert reader.has_begun is bool(data)
