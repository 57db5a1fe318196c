"""What all workers of one test session share: made by the first that needs it, found by the others in a folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from filelock import FileLock


class SharedFolder:
    """A folder of the session that every worker knows."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        base = factory.getbasetemp()
        self.folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
        self._workers = self.folder / "workers"
        self._workers.mkdir(exist_ok=True)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While this worker may need what is shared."""
        mine = self._workers / str(os.getpid())
        mine.touch()
        try:
            yield
        finally:
            mine.unlink()

    def once(self, name: str, make: Callable[[Path], str]) -> tuple[str, bool]:
        """What `make` returned for the folder `name`, in whichever worker came first; and whether it was this one.
        The others wait until it is made. Where it could not be made, the next one tries, in a folder of its own."""
        known = self.folder / f"{name}.made"
        with FileLock(self.folder / f"{name}.lock"):
            if known.exists():
                return known.read_text(), False
            place = self.folder / f"{name}-{os.getpid()}"
            place.mkdir()
            made = make(place)
            known.write_text(made)
            return made, True

    def forget(self, name: str) -> None:
        """Whoever needs it from now on makes it again."""
        with FileLock(self.folder / f"{name}.lock"):
            (self.folder / f"{name}.made").unlink(missing_ok=True)

    def wait_for_others(self) -> None:
        """Until no other worker is at work. One that died does not count."""
        while self._others():
            time.sleep(0.2)

    def _others(self) -> list[int]:
        pids = [int(path.name) for path in self._workers.iterdir()]
        return [pid for pid in pids if pid != os.getpid() and psutil.pid_exists(pid)]


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file under a folder, but for locks, which everybody may touch."""
    files = (path for path in folder.rglob("*") if path.is_file() and "lock" not in path.name)
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(files)}
