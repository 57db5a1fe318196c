"""`steca serve`: a deployment of each flow in the Prefect UI, and a server if none runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from cli.runtime import check_writable
from cli.signals import stop_on_signals
from cli.terminal.console import SafeConsole, make_console, say
from flows.deployments.offered import offers
from flows.server import environment, settings
from flows.server.process import answers, check_answers, guarded_server, used_here


def serve_all(data_dir: Path, port: int, configs: Path) -> None:
    """Serve until interrupted: the configuration files in `configs`, every stage, and comparisons. Runs started here
    have `data_dir` as their default. Raises StageFault where no server answers or starts."""
    check_writable(data_dir)
    stop_on_signals()
    environment.prepare(data_dir)
    console = make_console()
    with server(data_dir, port, console) as url:
        from prefect import serve

        from flows.deployments.refreshing import kept_current
        from flows.deployments.registering import register

        offered, problems = offers(data_dir, configs)
        for problem in problems:
            say(console, f"not offered: {problem}")
        deployments = register(offered, partial(say, console))
        say(console, f"serving {', '.join(offer.name for offer in offered)}")
        say(console, f"Prefect UI: {url.removesuffix('/api')}/deployments")
        say(console, "stop with Ctrl-C, which also stops active runs")
        with kept_current(data_dir, configs, offered, partial(say, console)):
            serve(*deployments, print_starting_message=False, pause_on_shutdown=False)


@contextmanager
def server(data_dir: Path, port: int, console: SafeConsole) -> Iterator[str]:
    """The API address of a running server (the configured one, or on the port), else of a server that is started here
    and stopped at the end."""
    if configured := settings.api_url():
        check_answers(configured)
        yield configured.value
        return
    url = f"http://127.0.0.1:{port}/api"
    with used_here(url):
        if answers(url):
            yield url
            return
        say(console, f"starting a Prefect server on 127.0.0.1:{port} ...")
        log = environment.prefect_home(data_dir) / "server.log"
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
