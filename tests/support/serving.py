"""A real `steca serve`, as a user starts it, and the calls by which Prefect's UI starts, ends and retries runs."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.support.tiny_factory import ROOT, STECA, TINY

PATIENCE = 240.0
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def surroundings(**more: str) -> dict[str, str]:
    """A user's environment: no Prefect server known, except that serve polls more often than every ten seconds."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {**mine, "PREFECT_RUNNER_POLL_FREQUENCY": "2", "OMP_NUM_THREADS": "1", **more}


def interruptible() -> None:
    """Before a command: a shell's background jobs and nohup's inherit these signals ignored."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(something: Callable[[], object], seconds: float = PATIENCE, what: str = "") -> None:
    deadline = time.monotonic() + seconds
    while not something():
        assert time.monotonic() < deadline, what or something
        time.sleep(0.2)


class Api:
    """The calls of the UI."""

    def __init__(self, url: str) -> None:
        self._url = url

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Tries again while the server is away or its database is busy, as Prefect's clients do."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                answer = httpx.request(method, f"{self._url}{path}", json=body, timeout=30)
                if answer.status_code != 503:
                    assert answer.is_success, answer.text
                    return answer.json() if answer.content else None
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline
            time.sleep(0.5)

    def start(self, data_dir: Path, *overrides: str) -> str:
        """Start a run of the factory with the tiny configuration."""
        wait_until(self._offered)
        deployment = self._offered()[0]
        seeds = [
            each for each in overrides if each.startswith("seed=")
        ]  # the form has a field of its own for it
        changes = [each for each in overrides if each not in seeds]
        parameters: dict[str, Any] = {"changes": changes, "data_dir": str(data_dir)}
        if seeds:
            parameters["seed"] = int(seeds[-1].removeprefix("seed="))
        made = self.call(
            "POST", f"/deployments/{deployment['id']}/create_flow_run", {"parameters": parameters}
        )
        return str(made["id"])

    def _offered(self) -> list[dict[str, Any]]:
        offered = self.call("POST", "/deployments/filter", {})
        return [one for one in offered if one["name"] == "tiny"]

    def state(self, run: str) -> dict[str, Any]:
        return dict(self.call("GET", f"/flow_runs/{run}")["state"])

    def wait_for(self, run: str, *names: str, seconds: float = PATIENCE) -> dict[str, Any]:
        wait_until(lambda: self.state(run)["name"] in names, seconds, f"{run} is not {names}")
        return self.state(run)

    def below(self, run: str) -> list[dict[str, Any]]:
        """The flow runs that a run started."""
        wanted = {"flow_runs": {"parent_flow_run_id": {"any_": [run]}}}
        return list(self.call("POST", "/flow_runs/filter", wanted))

    def logs(self, run: str) -> str:
        wanted = {"logs": {"flow_run_id": {"any_": [run]}}, "limit": 200}
        return "\n".join(line["message"] for line in self.call("POST", "/logs/filter", wanted))

    def cancel(self, run: str) -> None:
        self._set(run, {"type": "CANCELLING", "name": "Cancelling"})

    def suspend(self, run: str) -> None:
        until = (datetime.now(UTC) + timedelta(seconds=300)).isoformat()
        details = {"pause_timeout": until, "pause_reschedule": True}
        self._set(run, {"type": "PAUSED", "name": "Suspended", "state_details": details})

    def pause(self, run: str) -> None:
        """Not a button of the UI: the state of a flow that waits for an input."""
        self._set(run, {"type": "PAUSED", "name": "Paused", "state_details": {"pause_reschedule": False}})

    def retry(self, run: str) -> None:
        self._set(run, {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"})

    def resume(self, run: str) -> None:
        self.call("POST", f"/flow_runs/{run}/resume")

    def _set(self, run: str, state: dict[str, Any]) -> None:
        answer = self.call("POST", f"/flow_runs/{run}/set_state", {"state": state, "force": True})
        assert answer["status"] == "ACCEPT", answer


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
        return [one for one in self.family() if "prefect.engine" in " ".join(_command(one))]

    def end(self, number: signal.Signals, whole_group: bool = False) -> list[psutil.Process]:
        """Send a signal, and wait for the end. Returns the processes that were there before."""
        family = self.family()
        (os.killpg if whole_group else os.kill)(self.process.pid, number)
        self.process.wait(timeout=90)
        return family


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@contextmanager
def serving(data_dir: Path, url: str = "", port: int = 0, wait: bool = True, **more: str) -> Iterator[Serve]:
    """`steca serve` on the server at `url`, else with a server of its own on `port`."""
    data_dir.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    configs = data_dir / "configs"
    configs.mkdir(exist_ok=True)
    shutil.copy(TINY, configs / "tiny.yaml")
    log = data_dir / f"serve-{time.monotonic_ns()}.log"
    env = surroundings(**({"PREFECT_API_URL": url} if url else {}), **more)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*STECA, "serve", "--port", str(port), "--data-dir", str(data_dir), "--configs", str(configs)],
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
