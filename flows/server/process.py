"""The Prefect server of a command: the configured one, else a temporary one that ends with the command.

A temporary server runs under a guard (models/processes/guard.py), so that it also ends when the command is killed.
It keeps its database in Prefect's folder next to the data: only the first start in a folder has to make it, and
what `steca serve` shows later includes the runs from the command line.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from filelock import FileLock

from configs.child_environment import environment_without_secrets
from flows.faults import StageFault
from flows.server import environment, settings
from models.processes import guard
from storage.files import writing_in
from tasks.prefect_internals import TEMPORARY_SERVER, drain_queues, reread_settings

START_SECONDS = 300.0
GRACE_SECONDS = 5.0
"""Time for a server to end by itself: less than a command that is interrupted gives its children (cli/signals.py)."""
APP = Path(__file__).with_name("app.py")


@contextmanager
def prefect_server(data_dir: Path) -> Iterator[str]:
    """The API address to use, ready, with Prefect set up for it. Raises StageFault if no server answers at the
    configured address, or none can be started."""
    environment.prepare(data_dir)
    configured = settings.api_url()
    if configured:
        check_answers(configured)
        yield configured.value
    else:
        with temporary_server(data_dir) as url:
            yield url


@contextmanager
def temporary_server(data_dir: Path) -> Iterator[str]:
    """A server on a free port, used by this process and its children. Several may run in one data folder at once.
    Raises StageFault if it does not start."""
    log = environment.prefect_home(data_dir) / "temporary-server.log"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
        command = [sys.executable, "-P", str(APP), str(listener.fileno())]
        with (
            used_here(url),
            guarded_server(GuardedServer(command, log, TEMPORARY_SERVER, url, listener)),
        ):
            yield url


class GuardedServer:
    """A Prefect server in a process of its own. It ends, with every process that it started, when this process does."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        settings: Mapping[str, str],
        url: str,
        listener: socket.socket | None = None,
    ) -> None:
        """The server inherits `listener`, which is closed here when it starts."""
        self.url, self.log = url, log
        self._command, self._settings, self._listener = command, settings, listener
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it answers. Raises StageFault if it does not."""
        with _turn_to_start(self.log.parent):
            self._process = _launch(self._command, self.log, self._settings, self._listener)
            import flows.stages  # noqa: F401  needed anyway; as slow as the server's start

            _wait_for(self._process, self.url, self.log)

    def runs(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def close(self) -> None:
        """End it, after the queued logs and events are sent."""
        if self._process:
            if self.runs():
                drain_queues()
            _end(self._process)


@contextmanager
def guarded_server(server: GuardedServer) -> Iterator[GuardedServer]:
    """The server, running until the context ends. Raises StageFault if it does not start."""
    try:
        server.start()
        yield server
    finally:
        server.close()


@contextmanager
def used_here(url: str) -> Iterator[None]:
    """Make Prefect use a server, in this process and in those that it starts."""
    before = os.environ.get("PREFECT_API_URL")
    os.environ["PREFECT_API_URL"] = url
    reread_settings()
    try:
        yield
    finally:
        del os.environ["PREFECT_API_URL"]
        if before is not None:
            os.environ["PREFECT_API_URL"] = before
        reread_settings()


def check_answers(configured: settings.Setting) -> None:
    """Raise StageFault if no Prefect server answers at the configured address. The request is Prefect's own, with
    its keys and certificates, but without retries."""
    reread_settings()
    error = _health_error()
    if error:
        where = shown(configured.value)
        why = (str(error).splitlines() or [type(error).__name__])[0].replace(configured.value, where)
        raise StageFault(
            f"no Prefect server answers at {where} (from {configured.source}): {why}; start it, or unset that "
            "setting to have a temporary server started"
        )


def answers_now() -> bool:
    """Whether the Prefect server that is set answers now."""
    return _health_error() is None


def shown(url: str) -> str:
    """An address without the password in it."""
    return re.sub("//[^/@]*@", "//", url)


def _health_error() -> Exception | None:
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        return get_client(httpx_settings={"timeout": 10.0}, sync_client=True).api_healthcheck()


def answers(url: str) -> bool:
    """Whether a Prefect server answers at an API address on this machine."""
    try:
        with urlopen(f"{url}/health", timeout=5) as response:
            return bool(response.status == 200)
    except (OSError, ValueError):
        return False


@contextmanager
def _turn_to_start(home: Path) -> Iterator[None]:
    """Start one server at a time in a Prefect folder: the first creates the database, the others find it there."""
    with writing_in(home):
        home.mkdir(parents=True, exist_ok=True)
        lock = FileLock(home / "server-start.lock")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _launch(
    command: Sequence[str], log: Path, settings: Mapping[str, str], listener: socket.socket | None
) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            guard.guarded(command, GRACE_SECONDS),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=_environment() | dict(settings),
            start_new_session=True,  # Ctrl-C in the terminal is for this process to handle
            pass_fds=[listener.fileno()] if listener else [],
        )
    if listener:
        listener.close()
    return process


def _environment() -> dict[str, str]:
    """Our environment without API keys, which a server does not need, and without the address of the server itself."""
    return {
        name: value
        for name, value in environment_without_secrets(except_prefix="PREFECT_").items()
        if name != "PREFECT_API_URL"
    }


def _wait_for(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not answers(url):
        if process.poll() is not None:
            raise StageFault(f"the Prefect server stopped at once: see {log} (is the port in use?)")
        if time.monotonic() > deadline:
            raise StageFault(f"the Prefect server did not answer within {START_SECONDS:g} s: see {log}")
        time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        process.stdin.close()
    process.wait()
