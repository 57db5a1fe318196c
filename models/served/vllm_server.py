"""A vLLM server of our own for one checkpoint: started, watched, and ended with everything that it started.

vLLM runs in an environment of its own (its requirements and Prefect's exclude each other), on the loopback interface,
under a guard process (models/processes/guard.py) that ends it also when this process is killed. It serves the
checkpoint under the start of its digest.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from configs.servers import ServerConfig
from models.policy import PolicyFault
from models.processes import guard
from models.processes.loopback import spare_loopback
from models.reference import CheckpointRef, verify_checkpoint
from models.served.verification import is_healthy, served_models, served_name
from models.served.vllm_command import command, environment

RESTARTS = 3
# Seconds for a server to end by itself; vLLM takes about two.
GRACE = 15.0
_TAIL = 12
_ERROR = re.compile(r"\b\w*(?:[Ee]rror|Exception): .+")


class VllmServer:
    """Use as a context manager, or call `start` and `close`. `base_url`, `model` (the name to ask for) and `log` are
    known before the start and stay through restarts. `restart` may be called by several threads at once."""

    def __init__(
        self,
        ref: CheckpointRef,
        config: ServerConfig,
        logs: Path,
        key: str = "",
        secret: Collection[str] = (),
    ) -> None:
        """`logs` is the folder for the server's log; `key` is what clients will have to send, if any; `secret` names
        variables that hold keys, which the server does not get."""
        self._ref, self._config, self._key, self._secret = ref, config, key, secret
        self.model = served_name(ref)
        self._port = _free_port()
        self.base_url = f"http://127.0.0.1:{self._port}/v1"
        self.log = logs / f"vllm-{self.model}-{datetime.now():%Y%m%dT%H%M%S}-{self._port}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._lock, self._restarts, self._log_start = Lock(), 0, 0
        self._closed = False

    def start(self) -> Self:
        """Start, and wait until the checkpoint is served. Raises PolicyFault where the checkpoint is not sound, vLLM
        is not installed, or it ends or is not ready in time."""
        verify_checkpoint(self._ref)
        spare_loopback()
        line = command(self._ref, self._config, self._port)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-I", guard.__file__, str(os.getpid()), str(GRACE), *line],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment(line[0], self._key, self._secret),
                start_new_session=True,  # Ctrl-C in our terminal is for us to answer
            )
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self._end()
            raise
        return self

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def restart(self) -> None:
        """Start a server that has died again, on the same port; nothing where it lives. Raises PolicyFault where it
        cannot be started, or has died too often."""
        with self._lock:
            if self._closed:
                raise PolicyFault(f"the vLLM server for checkpoint {self._ref.path} is closed")
            if self.alive():
                return
            if self._restarts == RESTARTS:
                raise PolicyFault(self._fault(f"died again after {RESTARTS} restarts"))
            self._restarts += 1
            self._end()
            self.start()

    def close(self) -> None:
        """End the server and everything that it started, for good: also one that another thread is restarting."""
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

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

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
        served = [model.id for model in served_models(self.base_url, self._key)]
        if served != [self.model]:
            raise PolicyFault(self._fault(f"serves {', '.join(served) or 'nothing'}, not {self.model}"))

    def _fault(self, what: str) -> str:
        lines = self._log_lines()
        told = (line for line in lines if " WARNING " not in line)  # harmless ones name errors too
        cause = next((found[0] for line in told if (found := _ERROR.search(line))), "")
        tail = "\n".join(lines[-_TAIL:]) or "(nothing)"
        return (
            f"the vLLM server for checkpoint {self._ref.path} {what}{f': {cause}' if cause else ''}\n"
            f"the whole log is {self.log}; it ends with:\n{tail}"
        )

    def _log_lines(self) -> list[str]:
        """What has been logged since the last start."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace").splitlines()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
