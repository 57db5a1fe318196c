"""Connections with TLS, whose certificates are checked, and to addresses of version 6."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from models.client.transport.http_client import DirectClient

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def certificate(folder: Path, host: str) -> Path:
    """A certificate for a host, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    file = folder / f"{host}.pem"
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    file.write_bytes(secret + made.public_bytes(pem))
    return file


@asynccontextmanager
async def serving(
    tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[tuple[int, list[str]]]:
    """The port of a server that answers "ok", and the connections that it has seen."""
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(str(writer.get_extra_info("peername")[0]))
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
                writer.write(ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_server(serve, host, 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1], seen


def accepting(file: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def posted(url: str, times: int = 1) -> list[bytes]:
    async with DirectClient(trust_env=True) as client:
        return [
            (await client.post(url, content=b"{}", headers=[("X-Key", "1")])).content for _ in range(times)
        ]


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = certificate(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    return file


def test_a_trusted_certificate_is_accepted_and_its_connection_used_again(trusted: Path) -> None:
    async def ask() -> None:
        async with serving(accepting(trusted)) as (port, seen):
            assert await posted(f"https://localhost:{port}/v1", times=3) == [b"ok"] * 3
            assert len(seen) == 1

    asyncio.run(ask())


@pytest.mark.parametrize("case", ["unknown", "another host"])
def test_other_certificates_are_refused_before_anything_is_sent(
    trusted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    shown = trusted
    if case == "unknown":
        monkeypatch.delenv("SSL_CERT_FILE")
    else:
        shown = certificate(tmp_path, "elsewhere.example")
        monkeypatch.setenv("SSL_CERT_FILE", str(shown))

    async def ask() -> None:
        async with serving(accepting(shown)) as (port, _):
            with pytest.raises(httpx2.ConnectError, match="certificate verify failed"):
                await posted(f"https://localhost:{port}/v1")

    asyncio.run(ask())


def _has_version_6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not _has_version_6(), reason="this machine has no addresses of version 6")
def test_an_address_of_version_6_is_reached() -> None:
    async def ask() -> None:
        async with serving(host="::1") as (port, seen):
            assert await posted(f"http://[::1]:{port}/v1") == [b"ok"]
            assert seen == ["::1"]

    asyncio.run(ask())
