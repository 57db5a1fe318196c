"""An S3 server on loopback for tests: moto's, as a process of its own, with faults and a count of requests.

    python -m tests.support.s3_server PORT

What moto lacks is added here: two conditional writes at the same moment are decided one after the other. `/_faults`
sets the share of requests that fail, half of them after they were carried out: their answer is lost, as on a real
network.
"""

from __future__ import annotations

import json
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

BUCKET = "factory"
KEYS = {"AWS_ACCESS_KEY_ID": "test-id", "AWS_SECRET_ACCESS_KEY": "test-secret"}


@dataclass(frozen=True)
class S3Server:
    """A running server. `environment`: what a process needs to use it."""

    port: int

    @property
    def environment(self) -> dict[str, str]:
        address = f"http://127.0.0.1:{self.port}"
        return {
            **KEYS,
            "AWS_ENDPOINT_URL": address,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
        }

    def fail(self, share: float) -> None:
        """From now on, this share of requests fails."""
        self._ask(f"/_faults?{share}")

    def counts(self) -> Counter[str]:
        """Requests since the last call, by method and folder."""
        return Counter(json.loads(self._ask("/_counts")))

    def make_bucket(self) -> None:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{BUCKET}", method="PUT")
        urllib.request.urlopen(request).close()

    def _ask(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}") as answer:
            return bytes(answer.read())


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A server with the bucket BUCKET, until the end of the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tests.support.s3_server", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        server = S3Server(port)
        _wait_for(server, process)
        yield server
    finally:
        process.kill()
        process.wait()


def _wait_for(server: S3Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            server.make_bucket()
            return
        except OSError:
            assert process.poll() is None, "the S3 server ended"
            assert time.monotonic() < deadline, "the S3 server does not answer"
            time.sleep(0.1)


class Faulty:
    """A WSGI application around moto's."""

    def __init__(self, inner: Any) -> None:
        self._inner, self._share, self._random = inner, 0.0, random.Random(5)
        self._counts: Counter[str] = Counter()
        self._writing = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        path = environ["PATH_INFO"]
        if path == "/_faults":
            self._share = float(environ["QUERY_STRING"])
            return _answer(start, "200 OK", b"")
        if path == "/_counts":
            counts, self._counts = self._counts, Counter()
            return _answer(start, "200 OK", json.dumps(counts).encode())
        self._counts[_kind(environ)] += 1
        fate = self._random.random()
        if fate < self._share / 2:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            return _unavailable(start)
        if environ["REQUEST_METHOD"] == "PUT":
            with self._writing:
                answer = list(self._inner(environ, start_later := _Later()))
        else:
            answer = list(self._inner(environ, start_later := _Later()))
        if fate < self._share:
            return _unavailable(start)
        start(*start_later.given)
        return answer


class _Later:
    """Keeps status and headers of an answer."""

    given: tuple[Any, ...] = ()

    def __call__(self, *given: Any) -> None:
        self.given = given


def _kind(environ: dict[str, Any]) -> str:
    """Such as `PUT shards` or `LIST runs`."""
    name, query = environ["PATH_INFO"].removeprefix(f"/{BUCKET}").strip("/"), environ.get("QUERY_STRING", "")
    if not name and (prefix := re.search(r"prefix=[^&%]*(?:%2F)([a-z]+)", query)):
        return f"LIST {prefix[1]}"
    folders = name.split("/")
    return f"{environ['REQUEST_METHOD']} {folders[1] if len(folders) > 1 else ''}"


def _unavailable(start: Any) -> list[bytes]:
    text = b"<Error><Code>InternalError</Code><Message>made up</Message></Error>"
    return _answer(start, "500 Internal Server Error", text)


def _answer(start: Any, status: str, text: bytes) -> list[bytes]:
    start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(text)))])
    return [text]


def main(port: int) -> None:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import run_simple

    os.environ.update(KEYS)
    application = Faulty(DomainDispatcherApplication(create_backend_app))
    run_simple("127.0.0.1", port, application, threaded=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
