"""What all workers of a test session share. The first worker that needs a thing makes it; the others find it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp

import psutil
from filelock import FileLock


class SharedFolder:
    """The temporary folder of a test session, which all of its processes know: workers and their controller."""

    def __init__(self, base: Path) -> None:
        """`base`: this process's own temporary folder; that of a worker lies in its controller's."""
        self.folder = base.parent if is_worker() else base

    def once(self, name: str, make: Callable[[Path], str]) -> tuple[str, bool]:
        """(what `make` returned, whether this call made it). `make` is given an empty folder. Other workers wait
        meanwhile. If `make` raises, the next caller tries again in another folder."""
        known = self._file(name)
        with FileLock(self.folder / f"{name}.lock"):
            if known.exists():
                return known.read_text(), False
            made = make(Path(mkdtemp(prefix=f"{name}-", dir=self.folder)))
            known.write_text(made)
            return made, True

    def made(self, name: str) -> str | None:
        """What was made; None if nothing was."""
        return self._file(name).read_text() if self._file(name).exists() else None

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.made"


def is_worker() -> bool:
    """Whether this process is one of several workers, which a controller starts and outlives."""
    return "PYTEST_XDIST_WORKER" in os.environ


def stop_process(pid: int) -> None:
    """Terminate a process, and wait until it has ended; after a minute it is killed. Its parent, which may be another
    worker, need not have collected it yet."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        process.terminate()  # not SIGINT: where the tests run in the background of a shell, it is ignored
        deadline = time.monotonic() + 60
        while process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                process.kill()
            time.sleep(0.1)


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and modification time of every file under a folder, except lock files."""
    files = (path for path in folder.rglob("*") if path.is_file() and "lock" not in path.name)
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(files)}
