"""`steca world serve`: a world as an OpenEnv server."""

from __future__ import annotations

import socket
from contextlib import suppress

import uvicorn

from cli.signals import stop_on_signals
from cli.terminal.console import console, say
from configs.schema import FactoryConfig
from environments.base import EnvironmentFault
from environments.openenv.serving.app import app_of, public_name
from environments.registry import open_world


def serve_world(config: FactoryConfig, host: str, port: int, tasks: int) -> None:
    """Serve until interrupted. Raises EnvironmentFault for a world or a port that cannot be used."""
    stop_on_signals()
    world = open_world(config.environment)
    try:
        app = app_of(world, tasks)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with _listening(host, port, family) as listening:
            shown = f"[{host}]" if ":" in host else host
            url = f"http://{shown}:{listening.getsockname()[1]}"
            say(
                console(),
                f"serving {public_name(world)} at {url}, up to {world.live_environments} sessions at a time",
            )
            say(console(), "stop with Ctrl-C")
            settings = uvicorn.Config(
                app, log_level="warning", ws_per_message_deflate=False, timeout_graceful_shutdown=5
            )
            with suppress(KeyboardInterrupt):
                uvicorn.Server(settings).run(sockets=[listening])
    finally:
        world.close()


def _listening(host: str, port: int, family: socket.AddressFamily) -> socket.socket:
    """Raises EnvironmentFault for an address that cannot be used."""
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise EnvironmentFault(
            f"cannot listen at {host} port {port} ({error.strerror or error}): choose another --host or --port (0: any)"
        ) from error
