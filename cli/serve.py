"""`steca serve`: a deployment of each flow in the Prefect UI, and a server if none runs."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from uuid import UUID

from cli.runtime import check_writable
from cli.signals import Interrupt, stop_on_signals
from cli.terminal.console import SafeConsole, make_console, say
from flows.artifacts.follows import PAGES, pages_address
from flows.deployments.offered import Offer, offers
from flows.faults import StageFault
from flows.server import environment, settings
from flows.server.polling import Polling
from flows.server.process import (
    GuardedServer,
    answers,
    check_answers,
    guarded_server,
    shown,
    used_here,
)
from flows.server.serving import OwnServer, ServerOfOthers, Serving, Watched
from view.serving.serve import served_beside

TICK = 0.5


def serve_all(data_dir: Path, port: int, configs: Path, pool: str = "", healthcheck: bool = False) -> None:
    """Serve until interrupted: the configuration files in `configs`, every stage, and comparisons. Runs started here
    have `data_dir` as their default. `pool`: as a worker of this work pool. Raises StageFault where no
    server answers or starts."""
    check_writable(data_dir)
    if not configs.is_dir():
        raise StageFault(f"--configs {configs}: there is no such folder")
    stop_on_signals()
    environment.prepare(data_dir)
    console = make_console()
    root = data_dir.expanduser().resolve()
    with pages_of(root, pool) as pages, server(data_dir, port, console) as watched:
        os.environ[PAGES] = pages  # flow runs link to them
        from flows.deployments.refreshing import kept_current
        from flows.deployments.registering import register, registered_elsewhere
        from flows.server.polling import RunnerPolling, WorkerPolling

        out = partial(say, console)
        polling: RunnerPolling | WorkerPolling = RunnerPolling()
        if pool:
            polling = WorkerPolling(pool, healthcheck)
            polling.create_pool(out)
        offered, problems = offers(data_dir, configs)
        if not any(offer.flow.name == "factory" for offer in offered):
            out(f"no configuration file (*.yaml) that can be used is in {configs}")
        _refuse_to_take_over(registered_elsewhere(offered, str(data_dir.expanduser().resolve())), polling)
        for problem in problems:
            out(f"not offered: {problem}")
        serving = Serving(register(offered, out, pool), polling, out)
        serving.start()
        as_worker = f" as a worker of the pool {pool}" if pool else ""
        out(f"serving {', '.join(offer.name for offer in offered)}{as_worker}")
        out(f"Prefect UI: {watched.url.removesuffix('/api')}/v2/deployments")
        if pages:
            out(f"runs and trajectories: {pages}")
        out("stop with Ctrl-C, which also stops active runs")

        def update(changed: list[Offer]) -> None:
            serving.add(register(changed, lambda line: None, pool))

        with kept_current(data_dir, configs, (offered, problems), update, out):
            number = _wait_for_signal(serving, watched)
        out(f"stopping ({number.name}) ...")
        logging.disable()  # Prefect's runner, which is still there, would report what is ended now as errors
        serving.stop(f"`steca serve` was stopped ({number.name})")
    sys.stdout.flush()
    os._exit(128 + number)  # Prefect would try to reach the stopped server for a while


@contextmanager
def pages_of(root: Path, pool: str) -> Iterator[str]:
    """The address of the pages of the store: a known one, else that of pages which are served here. "" for a worker of
    a pool: its runs are looked at from other machines, which cannot reach pages here."""
    known = pages_address()
    if known or pool:
        yield known
        return
    with served_beside(root) as pages:
        yield pages


def _refuse_to_take_over(registered: dict[str, tuple[UUID, str]], polling: Polling) -> None:
    """Raises StageFault where another process serves these deployments for another data folder: their forms would get
    this one, and their runs would go to either process."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        ids = {name: known for name, (known, _) in registered.items()}
        if ids and polling.others(client, ids, lambda line: None):
            folder = next(iter(registered.values()))[1]
            raise StageFault(
                f"another process serves these deployments on this Prefect server, for the runs in {folder}: stop it, "
                "or use another server (--port), or the same data folder (--data-dir)"
            )


def _wait_for_signal(serving: Serving, watched: Watched) -> signal.Signals:
    interrupt = Interrupt()
    while interrupt.number is None:
        serving.look_after()
        watched.look_after()
        time.sleep(TICK)
    return interrupt.number


@contextmanager
def server(data_dir: Path, port: int, console: SafeConsole) -> Iterator[Watched]:
    """A running server (the configured one, or on the port), else one that is started here, started again if it dies,
    and stopped at the end."""
    out = partial(say, console)
    if configured := settings.api_url():
        check_answers(configured)
        yield ServerOfOthers(configured.value, shown(configured.value), out)
        return
    url = f"http://127.0.0.1:{port}/api"
    with used_here(url):
        if answers(url):
            yield ServerOfOthers(url, url, out)
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
        with guarded_server(GuardedServer(command, log, {"PREFECT_API_URL": url}, url)) as own:
            yield OwnServer(own, out)
