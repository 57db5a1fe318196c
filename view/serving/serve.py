"""The server of the pages, until it is stopped."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from flows.faults import StageFault
from view.serving.app import make_app
from view.serving.guard import name_in_address

LOCAL = "127.0.0.1"
PORT = 4300
TRIED = 10


def serve(root: Path, host: str, port: int, told: Callable[[str], None]) -> None:
    """Serve until interrupted; `told` gets the address. Raises StageFault where the port cannot be had."""
    listening = _listening(host, port)
    shown = "localhost" if host in (LOCAL, "0.0.0.0", "::") else host
    told(f"http://{name_in_address(shown)}:{port}/")
    config = uvicorn.Config(make_app(root, (host, socket.gethostname())), log_level="warning")
    with listening:
        uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def served_beside(root: Path, first: int = PORT) -> Iterator[str]:
    """Serve in a thread of this process, at the first free port from `first` on; gives the address, "" where ten ports
    are taken."""
    listening = next(filter(None, map(_free, range(first, first + TRIED))), None)
    if listening is None:
        yield ""
        return
    server = uvicorn.Server(uvicorn.Config(make_app(root), log_level="error"))
    threading.Thread(target=_run, args=(server, listening), daemon=True).start()
    try:
        yield f"http://{LOCAL}:{listening.getsockname()[1]}/"
    finally:
        server.should_exit = True


def _run(server: uvicorn.Server, listening: socket.socket) -> None:
    with listening:
        server.run(sockets=[listening])


def _free(port: int) -> socket.socket | None:
    try:
        return socket.create_server((LOCAL, port))
    except OSError:
        return None


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise StageFault(
            f"--port {port} cannot be used on {host}: {error.strerror}; choose another, e.g. --port {port + 1}"
        ) from error
