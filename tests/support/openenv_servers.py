"""OpenEnv servers in a thread of the test, on a free port."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import uvicorn
from fastapi import FastAPI

from environments.openenv.serving.app import app_of
from tests.support.own_worlds import completed


class Running:
    """A server that answers at `url` until it dies."""

    def __init__(self, app: FastAPI, port: int = 0) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port = int(self._socket.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws_per_message_deflate=False))
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)

    def die(self) -> None:
        """As a killed process: every connection breaks, and nothing listens any more."""
        self._server.should_exit = self._server.force_exit = True
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        self._thread.join(10)
        self._socket.close()


@contextmanager
def served(own: Any, tasks: int = 20, **settings: Any) -> Iterator[Running]:
    """One of our worlds, served."""
    running = Running(app_of(completed(own, **settings), tasks))
    try:
        yield running
    finally:
        running.die()


@contextmanager
def website(pages: dict[str, Any]) -> Iterator[str]:
    """A web server with these pages, as JSON or, if they are text, as they are. Its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path)
            content = (page if isinstance(page, str) else json.dumps(page)).encode()
            self.send_response(404 if page is None else 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
