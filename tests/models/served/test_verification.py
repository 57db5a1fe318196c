"""Which checkpoint does a running server serve? Asked of real servers on the loopback interface."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from models.checkpoint_ref import CheckpointRef, reference
from models.policy import PolicyFault
from models.served.verification import on_this_machine, verify_served

KEY = "sk-a-very-secret-key"


@dataclass
class Answering:
    """A server that gives one answer to everything."""

    url: str = ""
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def lists(self, *entries: dict[str, object]) -> None:
        self.body = json.dumps({"object": "list", "data": list(entries)}).encode()


@pytest.fixture
def server() -> Iterator[Answering]:
    answering = Answering()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answering.asked.append((self.path, self.headers["Authorization"] or ""))
            self.send_response(answering.status)
            for name, value in answering.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answering.body)))
            self.end_headers()
            self.wfile.write(answering.body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    answering.url = f"http://127.0.0.1:{listening.server_port}/v1"
    threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True).start()
    yield answering
    listening.shutdown()
    listening.server_close()


@pytest.fixture
def ref(tmp_path: Path) -> CheckpointRef:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"weights")
    return reference(tmp_path / "model")


def test_a_model_named_by_the_digest_is_the_checkpoint(server, ref) -> None:
    server.lists({"id": "alias"}, {"id": ref.digest[:16], "root": "/elsewhere"})
    assert verify_served(server.url, ref, KEY) == ref.digest[:16]
    assert server.asked == [("/v1/models", f"Bearer {KEY}")]


def test_a_model_loaded_from_a_folder_of_the_same_content_is_the_checkpoint(server, ref) -> None:
    server.lists({"id": "other"}, {"id": "my-model", "root": str(ref.path)})
    assert verify_served(server.url, ref) == "my-model"
    assert server.asked == [("/v1/models", "")]


def test_any_other_model_is_refused_with_the_way_to_serve_the_right_one(server, ref, tmp_path) -> None:
    (tmp_path / "stale").mkdir()
    (tmp_path / "stale" / "config.json").write_text('{"other": 1}')
    server.lists({"id": "stale", "root": str(tmp_path / "stale")}, {"id": "gpt", "root": None})
    wanted = f"serves stale, gpt, not checkpoint {ref.path} .*--served-model-name {ref.digest[:16]}"
    with pytest.raises(PolicyFault, match=wanted):
        verify_served(server.url, ref)
    server.lists()
    with pytest.raises(PolicyFault, match="serves nothing, not checkpoint"):
        verify_served(server.url, ref)


@pytest.mark.parametrize(("key", "what"), [(KEY, "refuses the key"), ("", "requires a key, and none is set")])
def test_a_refused_key_is_named_by_its_place_and_never_repeated(server, ref, key, what) -> None:
    server.status, server.body = 401, f"Incorrect API key provided: {KEY}".encode()
    with pytest.raises(PolicyFault, match=rf"{what}.*execution\.server\.key_env") as fault:
        verify_served(server.url, ref, key)
    assert KEY not in str(fault.value)
    assert fault.value.__suppress_context__


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"data": null}', b'{"data": ["x"]}', b'{"data": [{}]}'])
def test_something_else_than_an_openai_server_is_named(server, ref, body) -> None:
    server.body = body
    with pytest.raises(PolicyFault, match="does not speak the OpenAI API"):
        verify_served(server.url, ref)


def test_another_status_is_reported(server, ref) -> None:
    server.status, server.body = 404, KEY.encode()
    with pytest.raises(PolicyFault, match=r"answers with status 404.*end in /v1") as fault:
        verify_served(server.url, ref, KEY)
    assert KEY not in str(fault.value)


def test_a_redirect_is_not_followed_with_the_key(server, ref) -> None:
    server.status, server.headers = 307, {"Location": f"{server.url}/elsewhere"}
    with pytest.raises(PolicyFault, match="status 307"):
        verify_served(server.url, ref, KEY)
    assert len(server.asked) == 1


def test_a_server_that_cannot_be_reached_is_named(ref) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
    with pytest.raises(PolicyFault, match=rf"{url} cannot be reached \(.*refused\)"):
        verify_served(url, ref)


def test_a_server_that_does_not_answer_in_time_is_named(ref) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        with pytest.raises(PolicyFault, match=rf"{url} cannot be reached \(timed out\)"):
            verify_served(url, ref, timeout=0.2)


def test_requests_to_this_machine_bypass_the_proxy(server, ref, monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    server.lists({"id": ref.digest[:16]})
    assert verify_served(server.url, ref) == ref.digest[:16]


OURS = [
    "127.0.0.1",
    "127.0.0.2",
    "127.1.2.3",
    "localhost",
    "LocalHost",
    "localhost.",
    "a.localhost",
    "0.0.0.0",
]
OURS += ["[::1]", "[::]", "[::ffff:127.0.0.1]"]
OTHERS = [
    "128.0.0.1",
    "10.0.0.1",
    "example.org",
    "localhost.example.org",
    "notlocalhost",
    "127.0.0.1.example.org",
]
OTHERS += ["[::2]"]


@pytest.mark.parametrize("host", OURS)
def test_this_machine_goes_by_many_names(host) -> None:
    assert on_this_machine(f"http://{host}:8000/v1")


@pytest.mark.parametrize("host", OTHERS)
def test_other_machines_are_others(host) -> None:
    assert not on_this_machine(f"http://{host}:8000/v1")
