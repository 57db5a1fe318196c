"""The server of the pages, until it is stopped."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from flows.faults import StageFault
from view.serving.app import make_app

LOCAL = "127.0.0.1"


def serve(root: Path, host: str, port: int, told: Callable[[str], None]) -> None:
    """Serve until interrupted; `told` gets the address. Raises StageFault where the port cannot be had."""
    listening = _listening(host, port)
    shown = "localhost" if host in (LOCAL, "0.0.0.0", "::") else host
    told(f"http://{shown}:{port}/")
    config = uvicorn.Config(make_app(root, (host, socket.gethostname())), log_level="warning")
    with listening:
        uvicorn.Server(config).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise StageFault(
            f"--port {port} cannot be used on {host}: {error.strerror}; choose another, e.g. --port {port + 1}"
        ) from error
