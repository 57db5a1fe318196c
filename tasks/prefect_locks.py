"""Locks for cached batches that are released when the process that holds them ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

from filelock import FileLock, Timeout
from prefect.locking.protocol import LockManager


class ProcessLocks(LockManager):
    """One kernel file lock for each cache key, so that equal batches started at the same time run once.

    Prefect's own FileSystemLockManager marks a lock by the existence of a file. A process killed in the middle of a
    batch leaves that file behind, and the next run would wait forever. The kernel releases these locks.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().resolve()
        self._held: dict[str, tuple[str, FileLock]] = {}

    def acquire_lock(
        self,
        key: str,
        holder: str,
        acquire_timeout: float | None = None,
        hold_timeout: float | None = None,
    ) -> bool:
        if self.is_lock_holder(key, holder):
            return True
        lock = self._lock(key)
        try:
            lock.acquire(timeout=-1 if acquire_timeout is None else acquire_timeout)
        except Timeout:
            return False
        self._held[key] = (holder, lock)
        return True

    async def aacquire_lock(
        self,
        key: str,
        holder: str,
        acquire_timeout: float | None = None,
        hold_timeout: float | None = None,
    ) -> bool:
        return await asyncio.to_thread(self.acquire_lock, key, holder, acquire_timeout, hold_timeout)

    def release_lock(self, key: str, holder: str) -> None:
        if not self.is_lock_holder(key, holder):
            raise ValueError(f"{holder} holds no lock for batch key {key}")
        self._held.pop(key)[1].release()

    def is_locked(self, key: str) -> bool:
        return not self.wait_for_lock(key, timeout=0)

    def is_lock_holder(self, key: str, holder: str) -> bool:
        return key in self._held and self._held[key][0] == holder

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        try:
            with self._lock(key).acquire(timeout=-1 if timeout is None else timeout):
                return True
        except Timeout:
            return False

    async def await_for_lock(self, key: str, timeout: float | None = None) -> bool:
        return await asyncio.to_thread(self.wait_for_lock, key, timeout)

    def _lock(self, key: str) -> FileLock:
        self.folder.mkdir(parents=True, exist_ok=True)
        # thread_local=False: Prefect may release from another thread than the one that acquired
        return FileLock(self.folder / f"{key}.lock", thread_local=False)
