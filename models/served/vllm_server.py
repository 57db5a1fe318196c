"""Starts, watches, restarts and ends a vLLM server for one checkpoint, with all its child processes.

vLLM runs in its own virtual environment (its requirements conflict with Prefect's), on the loopback interface unless
other machines need it, under a guard process (models/processes/guard.py) that ends it even when this process is killed.
It serves the checkpoint under the first 16 characters of its digest.
"""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Self

from configs.servers import ServerConfig
from models.checkpoint_ref import CheckpointRef, verify_checkpoint
from models.policy import PolicyFault
from models.processes import guard
from models.processes.loopback import bypass_proxy_for_loopback
from models.served.verification import is_healthy, served_models, served_name
from models.served.vllm_command import LOOPBACK, vllm_command, vllm_environment

MAX_RESTARTS = 3
_TAIL = 12
"""Lines of the log in an error message."""
_ERROR = re.compile(r"\b\w*(?:[Ee]rror|Exception): .+")


class VllmServer:
    """Call `start`, and `close` at the end. `base_url`, `model` (the name to request) and `log` are
    set before the start and do not change with restarts. `restart` is thread-safe."""

    def __init__(
        self,
        ref: CheckpointRef,
        config: ServerConfig,
        logs: Path,
        key: str = "",
        secret_variables: Collection[str] = (),
        host: str = LOOPBACK,
    ) -> None:
        """`logs` is the folder for the server's log; `key` is the API key that clients must send, if any;
        `secret_variables` are environment variables that the server must not get; `host` is the address of this machine
        that it listens at."""
        self._ref, self._config, self.key = ref, config, key
        self._secret_variables = secret_variables
        self.model = served_name(ref)
        self._host, self._port = host, _free_port(host)
        self.base_url = f"http://{host}:{self._port}/v1"
        self.log = logs / f"vllm-{self.model}-{datetime.now():%Y%m%dT%H%M%S}-{self._port}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._lock, self._restarts, self._log_start = Lock(), 0, 0
        self._closed = False

    def start(self) -> Self:
        """Start, and wait until the checkpoint is served. Raises PolicyFault if the checkpoint is damaged, vLLM is not
        installed, or the server ends or is not ready in time."""
        verify_checkpoint(self._ref)
        bypass_proxy_for_loopback()
        command = vllm_command(self._ref, self._config, self._port, self._host)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                guard.guarded(command),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=vllm_environment(command[0], self.key, self._secret_variables),
                start_new_session=True,  # Ctrl-C in our terminal must not reach it
            )
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self._end()
            raise
        return self

    def alive(self) -> bool:
        """Whether the process is running."""
        return self._process is not None and self._process.poll() is None

    def revive(self, log: Callable[[str], None]) -> None:
        """Start a dead server again, and say so. Raises PolicyFault as `restart` does."""
        if not self.alive():
            log(f"the vLLM server has died and is restarted; its log: {self.log}")
            self.restart()

    def restart(self) -> None:
        """Start a dead server again on the same port; does nothing if it is alive. Raises PolicyFault if it cannot be
        started or has died too often."""
        with self._lock:
            if self._closed:
                raise PolicyFault(f"the vLLM server for checkpoint {self._ref.path} is closed")
            if self.alive():
                return
            if self._restarts == MAX_RESTARTS:
                raise PolicyFault(self._fault(f"died again after {MAX_RESTARTS} restarts"))
            self._restarts += 1
            self._end()
            self.start()

    def close(self) -> None:
        """End the server and its child processes for good, even one that another thread is restarting."""
        self._closed = True
        self._end()
        with self._lock:
            self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin:
            process.stdin.close()
        process.wait()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._config.ready_seconds
        while not is_healthy(self.base_url):
            if self._closed:
                raise PolicyFault(f"the vLLM server for checkpoint {self._ref.path} is closed")
            if process.poll() is not None:
                raise PolicyFault(self._fault(f"ended with status {process.returncode} before it was ready"))
            if time.monotonic() > deadline:
                raise PolicyFault(
                    self._fault(
                        f"was not ready after {self._config.ready_seconds:g} s (execution.server.ready_seconds)"
                    )
                )
            time.sleep(0.2)
        served = [model.id for model in served_models(self.base_url, self.key)]
        if served != [self.model]:
            raise PolicyFault(self._fault(f"serves {', '.join(served) or 'nothing'}, not {self.model}"))

    def _fault(self, what: str) -> str:
        lines = self._log_lines()
        candidates = (line for line in lines if " WARNING " not in line)  # warnings name harmless errors
        cause = next((found[0] for line in candidates if (found := _ERROR.search(line))), "")
        tail = "\n".join(lines[-_TAIL:]) or "(nothing)"
        return (
            f"the vLLM server for checkpoint {self._ref.path} {what}{f': {cause}' if cause else ''}\n"
            f"the whole log is {self.log}; it ends with:\n{tail}"
        )

    def _log_lines(self) -> list[str]:
        """Log lines since the last start."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace").splitlines()


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
