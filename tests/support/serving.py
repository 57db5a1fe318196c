"""A real `steca serve`, as a user starts it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from tests.support.prefect_api import Api, wait_until
from tests.support.tiny_factory import ROOT, STECA, TINY


def surroundings(**more: str) -> dict[str, str]:
    """A user's environment: no Prefect server known, except that serve polls more often than every ten seconds."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {
        **mine,
        "PREFECT_RUNNER_POLL_FREQUENCY": "2",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "OMP_NUM_THREADS": "1",
        **more,
    }


def interruptible() -> None:
    """Before a command: a shell's background jobs and nohup's inherit these signals ignored."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_tiny(api: Api, data_dir: Path, *overrides: str) -> str:
    """Start a run of the tiny configuration. The form has a field of its own for the seed."""
    seeds = [int(each.removeprefix("seed=")) for each in overrides if each.startswith("seed=")]
    changes = [each for each in overrides if not each.startswith("seed=")]
    seed = {"seed": seeds[-1]} if seeds else {}
    return api.start("tiny", changes=changes, data_dir=str(data_dir), **seed)


class Serve:
    """A running `steca serve`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, url: str) -> None:
        self.process, self._log, self.api = process, log, Api(url)

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def flow_family(self) -> list[psutil.Process]:
        """The processes of flow runs, with those below them."""
        flows = self.flow_processes()
        return [*flows, *(below for flow in flows for below in flow.children(recursive=True))]

    def flow_processes(self) -> list[psutil.Process]:
        return [one for one in self.family() if "prefect.engine" in " ".join(command_of(one))]

    def end(self, number: signal.Signals, whole_group: bool = False) -> list[psutil.Process]:
        """Send a signal, and wait for the end. Returns the processes that were there before."""
        family = self.family()
        (os.killpg if whole_group else os.kill)(self.process.pid, number)
        self.process.wait(timeout=90)
        return family


def command_of(process: psutil.Process) -> list[str]:
    """The command of a process; [] where it has ended, also if nobody has noticed yet."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@contextmanager
def serving(
    data_dir: Path, url: str = "", port: int = 0, wait: bool = True, pool: str = "", **more: str
) -> Iterator[Serve]:
    """`steca serve` on the server at `url`, else with a server of its own on `port`; as a worker of a pool."""
    data_dir.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    configs = data_dir / "configs"
    configs.mkdir(exist_ok=True)
    shutil.copy(TINY, configs / "tiny.yaml")
    log = data_dir / f"serve-{time.monotonic_ns()}.log"
    env = surroundings(**({"PREFECT_API_URL": url} if url else {}), **more)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *STECA, "serve", "--port", str(port), "--data-dir", str(data_dir), "--configs", str(configs),
                *(["--pool", pool] if pool else []),
            ],
            cwd=ROOT, env=env,
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=interruptible,
        )  # fmt: skip
    serve = Serve(process, log, url or f"http://127.0.0.1:{port}/api")
    try:
        if wait:
            wait_until(lambda: "stop with Ctrl-C" in serve.said() or process.poll() is not None)
            assert process.poll() is None, serve.said()
        yield serve
    finally:
        process.kill()
        process.wait()


@contextmanager
def prefect_server(home: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A Prefect server that `steca serve` did not start."""
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (home / "server.log").open("ab") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=surroundings(PREFECT_HOME=str(home)), stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    try:
        wait_until(lambda: _healthy(port))
        yield process
    finally:
        process.kill()
        process.wait()


def _healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/api/health", timeout=5).is_success
    except httpx.TransportError:
        return False
