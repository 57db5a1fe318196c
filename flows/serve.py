"""Offering the flows in the Prefect UI: a server where none runs, and one deployment for each flow."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import urlopen

from configs.schema import FactoryConfig
from flows import local
from flows.faults import StageFault
from flows.launch import check_writable
from flows.terminal import SafeConsole, make_console, say

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.deployments.runner import RunnerDeployment

START_SECONDS = 300


def serve_all(data_dir: Path, port: int) -> None:
    """Serve until interrupted. Runs started here have `data_dir` as their default. Raises StageFault where no server
    answers or starts."""
    check_writable(data_dir)
    local.prepare(data_dir)
    console = make_console()
    with server(data_dir, port, console) as url:
        os.environ["PREFECT_API_URL"] = url
        from prefect import serve

        offered = deployments(data_dir)
        ui = url.removesuffix("/api")
        say(console, f"Prefect UI: {ui}/deployments")
        say(console, f"serving {', '.join(one.flow_name or one.name for one in offered)}")
        say(console, "stop with Ctrl-C; runs that are going on are stopped with it")
        serve(*offered, print_starting_message=False, pause_on_shutdown=False)


@contextmanager
def server(data_dir: Path, port: int, console: SafeConsole) -> Iterator[str]:
    """The API address of the server that runs (PREFECT_API_URL, or on the port), else of one that is started here and
    stopped at the end."""
    configured = os.environ.get("PREFECT_API_URL")
    url = configured or f"http://127.0.0.1:{port}/api"
    if answers(url):
        yield url
        return
    if configured:
        raise StageFault(
            f"no Prefect server answers at PREFECT_API_URL={url}: start it, or unset the variable"
        )
    say(console, f"starting a Prefect server on 127.0.0.1:{port} ...")
    log = data_dir.expanduser().resolve() / "prefect" / "server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, "PREFECT_API_URL": url}
        )
        try:
            _wait_for(process, url, log)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=30)


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


def answers(url: str) -> bool:
    """Whether a Prefect server answers at an API address."""
    try:
        with urlopen(f"{url}/health", timeout=5) as response:
            return response.status == 200
    except (URLError, OSError, ValueError):
        return False


def _wait_for(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise StageFault(f"the Prefect server stopped at once: {log} says why (is the port in use?)")
        if answers(url):
            return
        time.sleep(0.3)
    raise StageFault(f"the Prefect server did not answer within {START_SECONDS} s: see {log}")
