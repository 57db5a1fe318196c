"""What all workers of a test session share. The first worker that needs a thing makes it; the others find it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import psutil
import pytest
from filelock import FileLock


class SharedFolder:
    """The session's temporary folder, which every worker knows."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        base = factory.getbasetemp()
        self.folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
        self._workers = self.folder / "workers"
        self._workers.mkdir(exist_ok=True)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Marks this worker as running."""
        mine = self._workers / str(os.getpid())
        mine.touch()
        try:
            yield
        finally:
            mine.unlink()

    def once(self, name: str, make: Callable[[Path], str]) -> tuple[str, bool]:
        """(what `make` returned, whether this call made it). `make` is given an empty folder. Other workers wait
        meanwhile. If `make` raises, the next caller tries again in another folder."""
        known = self.folder / f"{name}.made"
        with FileLock(self.folder / f"{name}.lock"):
            if known.exists():
                return known.read_text(), False
            made = make(Path(mkdtemp(prefix=f"{name}-", dir=self.folder)))
            known.write_text(made)
            return made, True

    def forget(self, name: str) -> None:
        """The next caller makes it again."""
        with FileLock(self.folder / f"{name}.lock"):
            (self.folder / f"{name}.made").unlink(missing_ok=True)

    def wait_for_others(self) -> None:
        """Wait until no other worker is running. Dead processes do not count."""
        while self._others():
            time.sleep(0.2)

    def _others(self) -> list[int]:
        pids = [int(path.name) for path in self._workers.iterdir()]
        return [pid for pid in pids if pid != os.getpid() and psutil.pid_exists(pid)]


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and modification time of every file under a folder, except lock files."""
    files = (path for path in folder.rglob("*") if path.is_file() and "lock" not in path.name)
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(files)}
