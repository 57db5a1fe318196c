"""Whether somebody works on a run now: a lock that the kernel drops with the process that holds it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from flows.faults import StageFault


@contextmanager
def working_on(root: Path, run: str) -> Iterator[None]:
    """Hold the run. Raises StageFault where another process has it: two would write the same run files."""
    path = _path(root, run)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise StageFault(f"another process works on run {run} now: wait for it, or stop it first") from None
    try:
        yield
    finally:
        lock.release()


def is_alive(root: Path, run: str) -> bool:
    path = _path(root, run)
    if not path.parent.is_dir():
        return False
    try:
        with FileLock(path).acquire(timeout=0):
            return False
    except Timeout:
        return True


def _path(root: Path, run: str) -> Path:
    return root / "locks" / f"run-{run}.lock"
