"""One process at a time works on a run: a file lock that the kernel releases when the process that holds it ends.

A whole factory run holds it from its first stage to its last, so nothing slips in between two stages. Others wait
in the order in which they came, and then find the results of the first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from flows.faults import StageFault
from flows.runs.queue import WaitingQueue
from storage.remote import mirrors
from storage.runs import RunFolder, list_runs
from storage.this_process import this_process

POLL_SECONDS = 0.2
_MINE: ContextVar[frozenset[Path]] = ContextVar("locks of this run", default=frozenset())
"""Locks that this run already holds: a stage runs inside its factory."""


@contextmanager
def lock_run(folder: RunFolder, log: Callable[[str], None] = lambda line: None) -> Iterator[None]:
    """Hold the lock of a run. Where another process holds it, on this machine or another one with the same URL, report
    that once and wait."""
    works = f"on run {folder.run_id}"
    with hold(_path(folder), works, log) as new:
        if new is None:
            yield
            return
        with mirrors.held(folder.root, f"run-{folder.run_id}", works, log):
            yield


@contextmanager
def hold(path: Path, what: str, log: Callable[[str], None], holder: str = "") -> Iterator[Held | None]:
    """Hold a file lock; None where this run holds it already. Where another process holds it, report that once, with
    who works on `what`, and wait. `holder`: what others are told of this process, besides its number."""
    if path in _MINE.get():
        yield None
        return
    lock = _acquired(path, what, log, holder)
    token = _MINE.set(_MINE.get() | {path})
    try:
        yield Held(path, lock, what, log, holder)
    finally:
        _MINE.reset(token)
        _holder(path).unlink(missing_ok=True)
        lock.release()


@dataclass(frozen=True)
class Held:
    """A lock that is held."""

    path: Path
    lock: FileLock
    what: str
    log: Callable[[str], None]
    holder: str

    @contextmanager
    def let_go(self) -> Iterator[None]:
        """Let others have the lock inside, and wait for it at the end."""
        _holder(self.path).unlink(missing_ok=True)
        self.lock.release()
        try:
            yield
        finally:
            _acquire(self.lock, self.path, self.what, self.log, self.holder)


def is_locked(folder: RunFolder) -> bool:
    """Whether a process works on a run now. A lock that may not be read counts as held."""
    path = _path(folder)
    if mirrors.is_held(folder.root, f"run-{folder.run_id}"):
        return True
    if not path.parent.is_dir():
        return False
    try:
        with FileLock(path).acquire(timeout=0):
            return False
    except (Timeout, PermissionError):
        return True


def refuse_while_running(root: Path, undone: str, command: str) -> None:
    """Raise StageFault while a process works on a run of a data folder: `undone` says what does not happen therefore,
    and `command` is to be run again later. Raises StorageFault if a run file is damaged."""
    if busy := [run.run_id for run in list_runs(root) if is_locked(RunFolder(root, run.run_id))]:
        raise StageFault(f"a process works on run {busy[0]}: {undone}; run `{command}` when it is done")


def _acquired(path: Path, what: str, log: Callable[[str], None], holder: str) -> FileLock:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, thread_local=False)
    _acquire(lock, path, what, log, holder)
    return lock


def _acquire(lock: FileLock, path: Path, what: str, log: Callable[[str], None], holder: str) -> None:
    queue = WaitingQueue(path)
    if not (queue.is_empty() and _is_ours(lock, 1)):  # `steca status` holds it for a moment
        log(f"{_who(path)} is working {what}: waiting for it")
        with queue.ticket() as is_next:
            while not (is_next() and _is_ours(lock, POLL_SECONDS)):
                time.sleep(POLL_SECONDS)
    process = this_process()
    _holder(path).write_text(f"{holder} ({process})" if holder else process, encoding="utf-8")


def _is_ours(lock: FileLock, seconds: float) -> bool:
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        return False
    return True


def _who(path: Path) -> str:
    try:
        return _holder(path).read_text(encoding="utf-8") or "another process"
    except OSError:
        return "another process"


def _holder(path: Path) -> Path:
    return path.with_suffix(".holder")


def _path(folder: RunFolder) -> Path:
    return folder.root / "locks" / f"run-{folder.run_id}.lock"
