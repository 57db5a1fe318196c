"""Offering the flows in the Prefect UI: a server where none runs, and one deployment for each flow."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.schema import FactoryConfig
from flows import local, prefect_settings
from flows.interrupt import stop_on_signals
from flows.launch import check_writable
from flows.prefect_server import answers, check_answers, guarded_server, used_here
from flows.terminal import SafeConsole, make_console, say

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.deployments.runner import RunnerDeployment


def serve_all(data_dir: Path, port: int) -> None:
    """Serve until interrupted. Runs started here have `data_dir` as their default. Raises StageFault where no server
    answers or starts."""
    check_writable(data_dir)
    stop_on_signals()
    local.prepare(data_dir)
    console = make_console()
    with server(data_dir, port, console) as url:
        from prefect import serve

        offered = deployments(data_dir)
        ui = url.removesuffix("/api")
        say(console, f"Prefect UI: {ui}/deployments")
        say(console, f"serving {', '.join(one.flow_name or one.name for one in offered)}")
        say(console, "stop with Ctrl-C; runs that are going on are stopped with it")
        serve(*offered, print_starting_message=False, pause_on_shutdown=False)


@contextmanager
def server(data_dir: Path, port: int, console: SafeConsole) -> Iterator[str]:
    """The API address of the server that runs (the configured one, or on the port), else of one that is started here
    and stopped at the end."""
    if configured := prefect_settings.api_url():
        check_answers(configured)
        yield configured.value
        return
    url = f"http://127.0.0.1:{port}/api"
    with used_here(url):
        if answers(url):
            yield url
            return
        say(console, f"starting a Prefect server on 127.0.0.1:{port} ...")
        log = local.prefect_home(data_dir) / "server.log"
        command = [
            sys.executable,
            "-m",
            "prefect",
            "server",
            "start",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        with guarded_server(command, url, log, {"PREFECT_API_URL": url}):
            yield url


def deployments(data_dir: Path) -> list[RunnerDeployment]:
    """One deployment for the factory and one for each stage; their forms come from FactoryConfig."""
    from flows.factory import factory
    from flows.stages import STAGE_FLOWS

    served: list[Flow[..., Any]] = [factory, *STAGE_FLOWS.values()]
    root = data_dir.expanduser().resolve()
    defaults = {"config": FactoryConfig(data_dir=root).model_dump(mode="json")}
    offered: list[Any] = [  # plain objects here, coroutines where called from an event loop: we are in none
        each.to_deployment(name="steca", parameters=defaults, description=each.description, tags=["steca"])
        for each in served
    ]
    return offered
