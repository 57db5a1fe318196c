"""Processes of the package `openenv`, in its own environment (`make openenv`), and ours that serve worlds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from tests.support.pages import ROOT
from tests.support.serving import free_port

PACKAGE = ROOT / ".openenv" / "bin"
SERVERS = ROOT / "tests" / "openenv" / "servers.py"
OURS = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
THEIRS = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@contextmanager
def process(
    command: Sequence[str | Path], cwd: Path | None = None, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A running process, whose output can be read; killed at the end."""
    running = subprocess.Popen(
        [str(word) for word in command],
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


@contextmanager
def package_server(name: str, sessions: int = 8) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """URL and process of one of the servers in tests/openenv/servers.py."""
    port = free_port()
    with process([PACKAGE / "python", SERVERS, name, str(port), str(sessions)], env=THEIRS) as running:
        yield answering(f"http://127.0.0.1:{port}", running), running


@contextmanager
def our_server(folder: Path, *words: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """URL and process of a `steca world serve`."""
    command = [sys.executable, "-m", "cli", "world", "serve", *words, "--port", "0"]
    with process(command, folder, OURS) as running:
        assert running.stdout
        line = running.stdout.readline()
        found = re.search(r"at (http://[^,]*), up to", line)
        assert found, line + running.stdout.read()
        yield answering(found[1], running), running


def answering(url: str, running: subprocess.Popen[str]) -> str:
    """The URL, as soon as it answers."""
    end = time.monotonic() + 60
    while time.monotonic() < end and running.poll() is None:
        try:
            with urlopen(f"{url}/health", timeout=5):
                return url
        except OSError:
            time.sleep(0.1)
    running.kill()
    raise AssertionError(f"{url} does not answer: {running.communicate()[0]}")


def steca(folder: Path, *words: str | Path, fails: bool = False) -> str:
    """What a command of ours says."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", *map(str, words)],
        cwd=folder, env=OURS, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert (done.returncode != 0) == fails, said
    return said


def openenv(folder: Path, *words: str) -> tuple[int, str]:
    """Exit code and output of a command of the package."""
    done = subprocess.run(
        [str(PACKAGE / "openenv"), *words],
        cwd=folder,
        env=THEIRS,
        capture_output=True,
        text=True,
        timeout=100,
    )
    return done.returncode, done.stdout + done.stderr
