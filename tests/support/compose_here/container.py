"""A service as a container engine would run it: started, looked at, killed with everything in it, stopped."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support.compose_here import user
from tests.support.compose_here.compose_file import Healthcheck


@dataclass
class Container:
    """`home` is the home folder of its processes, and no other process has it: so they are found again. It is emptied
    at every start, because a container that is made anew keeps its volumes only."""

    name: str
    command: list[str]
    folder: Path
    environment: dict[str, str]
    healthcheck: Healthcheck
    stop_signal: signal.Signals
    stop_seconds: float
    home: Path
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        user.make_folder(self.home)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, env=self._environment(), stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True, **user.as_user(),
            )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        return self.environment | {"HOME": str(self.home), "LANG": "C.UTF-8"}

    def is_up(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def wait_until_healthy(self) -> None:
        """Run the healthcheck as Docker does. Raises TimeoutError where the container would become unhealthy."""
        check, started, failures = self.healthcheck, time.monotonic(), 0
        while failures < check.retries:
            time.sleep(check.interval)
            if not self.is_up():
                raise RuntimeError(f"{self.name} has ended:\n{self.last_lines()}")
            if self.is_healthy():
                return
            failures += time.monotonic() - started > check.start_period
        raise TimeoutError(f"{self.name} is unhealthy:\n{self.last_lines()}")

    def is_healthy(self) -> bool:
        check = self.healthcheck
        try:
            done = subprocess.run(
                check.command, cwd=self.folder, env=self._environment(), capture_output=True,
                timeout=check.timeout, **user.as_user(),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def processes(self) -> list[psutil.Process]:
        """All that run in it, whoever started them."""
        return [each for each in psutil.process_iter() if _home_of(each) == str(self.home)]

    def kill(self) -> None:
        """SIGKILL to its first process: the kernel ends the others of a container with it. Returns when all have ended:
        a process that is being ended loses its environment, by which it is found, before it closes its ports."""
        killed: set[psutil.Process] = set()
        while alive := [each for each in killed.union(self.processes()) if _is_alive(each)]:
            for each in alive:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            killed.update(alive)
            time.sleep(0.02)
            self.is_up()  # collects the first one; what process 1 adopted may be its zombie for seconds
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> float:
        """Its stop signal, and SIGKILL after the grace period. Returns the seconds that it took."""
        started = time.monotonic()
        if self.process is not None and self.is_up():
            self.process.send_signal(self.stop_signal)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(self.stop_seconds)
        took = time.monotonic() - started
        self.kill()
        return took

    def last_lines(self) -> str:
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""


def _home_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("HOME")
    except (psutil.Error, OSError):
        return None


def _is_alive(process: psutil.Process) -> bool:
    """A zombie is not: it has no memory and no ports, and is there until its parent asks for it."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
