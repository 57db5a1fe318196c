"""A temporary Prefect server on an open listening socket: `python -P flows/server/app.py FILE_DESCRIPTOR`.

The port is taken before the server starts, so that nobody else can have it. No user interface; only the services that
write down what the clients report (PREFECT__SERVER_EPHEMERAL).
"""

from __future__ import annotations

import socket
import sys

import uvicorn
from prefect.server.api.server import create_app


def main(descriptor: int) -> None:
    config = uvicorn.Config(create_app(), log_level="error", lifespan="on", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    main(int(sys.argv[1]))
