"""Locks between machines: one object a lock, made only where there is none, and renewed while its holder lives.

A holder that was killed does not renew its lock. Whoever waits sees the same version for LEASE seconds by its own
clock, and takes the lock over under the condition that it still has this version. So clocks of machines are never
compared. A holder that was only asleep learns at its next renewal that it has lost the lock, and ends before it uploads
anything.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from storage.faults import StorageFault
from storage.remote.objects import Objects
from storage.remote.versions import ABSENT, Changed
from storage.this_process import this_process

LEASE = 30.0
"""Seconds without a renewal after which a lock is taken over."""
RENEWED_EVERY = 8.0
POLL = 1.0
Log = Callable[[str], None]


class Lease:
    """A lock that this process holds."""

    def __init__(self, objects: Objects, name: str, mirror: str) -> None:
        self.name, self._objects, self._mirror = name, objects, mirror
        self._owner, self._count, self._version = uuid.uuid4().hex, 0, ""
        self._using = threading.Lock()
        self._renewed = time.monotonic()
        self._let_go = False
        self.lost = False

    def take(self, only_if: str) -> bool:
        """Take the lock where it has this version. Returns whether that was so."""
        try:
            self._write(only_if)
        except Changed:
            return False
        return True

    def renew(self) -> None:
        """Write it again, from the thread that renews. Notes where that comes too late."""
        with self._using:
            if self._let_go or self.lost:
                return
            try:
                self._write(self._version)
            except Changed:
                self.lost = True
            except StorageFault:  # out of reach: the next one may succeed in time
                self.lost = time.monotonic() - self._renewed > LEASE

    def release(self) -> None:
        """Delete it, unless it may be another's by now."""
        with self._using:
            self._let_go = True
            if not self.lost and time.monotonic() - self._renewed < LEASE:
                with suppress(StorageFault):  # out of reach: it runs out by itself
                    self._objects.delete(self.name)

    def _write(self, only_if: str) -> None:
        begun, self._count = time.monotonic(), self._count + 1
        said = {"who": this_process(), "mirror": self._mirror, "owner": self._owner, "count": self._count}
        self._version = self._objects.write(self.name, json.dumps(said).encode(), only_if)
        self._renewed = begun


class Leases:
    """The locks of one mirror. A thread renews those that this process holds."""

    def __init__(self, objects: Objects, root: Path, mirror: Callable[[], str]) -> None:
        self._objects, self._root, self._mirror = objects, root, mirror
        self._held: set[Lease] = set()
        self._changing = threading.Lock()
        self._renewing = False

    @contextmanager
    def hold(self, what: str, works: str, log: Log, check: Callable[[], None]) -> Iterator[None]:
        """Hold the lock `what`. Where another has it, report once who works on what (`works`), and wait; `check` is
        called meanwhile and may raise. Processes with the same mirror wait for each other by a lock of the kernel."""
        own = self._root / "locks" / f"shared-{what}.lock"
        own.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(own, thread_local=False):
            lease = self._acquired(f"locks/{what}", works, log, check)
            self._keep(lease)
            try:
                yield
            finally:
                with self._changing:
                    self._held.discard(lease)
                lease.release()

    def is_held(self, what: str) -> bool:
        """Whether another machine holds a lock, or was killed and did so."""
        return self._objects.read(f"locks/{what}") is not None

    def require(self) -> None:
        """Raises StorageFault where this process has lost a lock: another machine does its work."""
        with self._changing:
            lost = [lease.name for lease in self._held if lease.lost]
        if lost:
            raise StorageFault(
                f"{self._objects.url}: {lost[0]} was not renewed for {LEASE:.0f} seconds, and another machine may work "
                "on it: run the same command again, which waits for it"
            )

    def _acquired(self, name: str, works: str, log: Log, check: Callable[[], None]) -> Lease:
        lease = Lease(self._objects, name, self._mirror())
        seen, since, told = "", time.monotonic(), False
        while not lease.take(ABSENT):
            found = self._objects.read(name)
            if found is None:
                continue
            said, version = _said(found[0]), found[1]
            if version != seen:
                seen, since = version, time.monotonic()
            # Nobody else has a lock of the kernel that this process holds: the one before it was killed.
            if said.get("mirror") == self._mirror() or time.monotonic() - since > LEASE:
                if lease.take(version):
                    log(
                        f"{said.get('who', 'another process')} was working {works} and is gone: going on instead"
                    )
                    break
                continue
            if not told:
                log(f"{said.get('who', 'another process')} is working {works}: waiting for it")
                told = True
            check()
            time.sleep(POLL)
        return lease

    def _keep(self, lease: Lease) -> None:
        with self._changing:
            if not self._renewing:
                self._renewing = True
                threading.Thread(target=self._renew_all, daemon=True, name="steca-leases").start()
            self._held.add(lease)

    def _renew_all(self) -> None:
        """Renew until nothing is held."""
        while True:
            time.sleep(RENEWED_EVERY)
            with self._changing:
                held = list(self._held)
                self._renewing = bool(held)
            if not held:
                return
            for lease in held:
                lease.renew()


def _said(data: bytes) -> dict[str, str]:
    try:
        said = json.loads(data)
        return said if isinstance(said, dict) else {}
    except ValueError:
        return {}
