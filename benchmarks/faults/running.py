"""A command of the factory that runs, and what its files say of how far it is."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 600.0
"""Seconds after which a command is taken to hang."""
POLL = 0.003


class Hangs(Exception):
    """A command that did not end in PATIENCE seconds, or did not come to what was waited for."""


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    said: str
    errors: str

    @property
    def one_line(self) -> bool:
        """Whether it ended with one line that says why."""
        lines = [line for line in self.errors.splitlines() if line.strip()]
        return self.code == 1 and len(lines) == 1 and lines[0].startswith("error: ")

    @property
    def traceback(self) -> bool:
        return "Traceback" in self.said + self.errors


class Running:
    """A command, with what it prints in two files."""

    def __init__(self, command: Sequence[str], cwd: Path, env: Mapping[str, str], log: Path) -> None:
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with self._file("out").open("wb") as out, self._file("err").open("wb") as err:
            self.process = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def ended(self, seconds: float = PATIENCE) -> Ended:
        """Wait for the end. Raises Hangs."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Hangs(
                f"{self._log.name} did not end in {seconds:.0f} s: {self._said('out')[-300:]}"
            ) from None
        return Ended(code, self._said("out"), self._said("err"))

    def until(self, something: Callable[[], object], seconds: float = PATIENCE) -> bool:
        """Wait for something; False where the command ends before. Raises Hangs."""
        deadline = time.monotonic() + seconds
        while not something():
            if self.process.poll() is not None:
                return False
            if time.monotonic() > deadline:
                self.process.kill()
                raise Hangs(f"{self._log.name} did not come far enough in {seconds:.0f} s")
            time.sleep(POLL)
        return True

    def kill(self) -> bool:
        """SIGKILL; False where it had ended."""
        if self.process.poll() is not None:
            return False
        self.process.kill()
        self.process.wait()
        return True

    def said(self) -> str:
        """What it has printed so far."""
        return self._said("out") + self._said("err")

    def _file(self, which: str) -> Path:
        return self._log.with_name(f"{self._log.name}.{which}")

    def _said(self, which: str) -> str:
        return self._file(which).read_text(errors="replace")


def stages(data_dir: Path) -> dict[str, dict[str, object]]:
    """By stage, its file: status, seconds, batches. Written by any version, and perhaps damaged."""
    found = {}
    for file in data_dir.glob("runs/*/stages/*.json"):
        try:
            state = json.loads(file.read_text())
        except (ValueError, OSError):
            continue
        found[str(state.get("stage"))] = state
    return found


def status(data_dir: Path, stage: str) -> str:
    return str(stages(data_dir).get(stage, {}).get("status", ""))


def begun(data_dir: Path, stage: str) -> str:
    """When a stage was begun last; "" where it never was."""
    return str(stages(data_dir).get(stage, {}).get("started_at", ""))
