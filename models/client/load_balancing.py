"""Which server a request goes to, and how many requests may be in flight there at once.

Requests of one episode share a growing prefix that a server caches, so each goes to its episode's own server (a hash
of `affinity`) unless that one is down or much busier than the others. An overloaded server gets half as many requests
at once; each success raises the limit a little again. Requests that wait for a server that got worse choose again.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from models.client.capabilities import Capabilities

LIMIT_STEP = 0.25
"""How much a success raises a server's limit of requests in flight."""
MAX_RELATIVE_LOAD = 1.25
"""Above this multiple of the mean load (relative to its limit), a server loses requests of its own episodes."""


class Backend:
    """One server: its address, its state, and its requests in flight. For one event loop."""

    def __init__(self, base_url: str, max_in_flight: int) -> None:
        self.base_url, self._max_in_flight = base_url, max_in_flight
        self.capabilities = Capabilities()
        self.limit = float(max_in_flight)
        self.in_flight = 0
        self.model: str | None = None
        """The model name to send; None until the server is known to serve our model."""
        self.model_check: asyncio.Task[str] | None = None
        """The running check of `model`, shared by all requests that wait for it."""
        self.failing = False
        """Whether a request has failed since the last success."""
        self.refused_sample_logged = False
        """Whether the log already says that this server refuses single requests."""
        self.down_until = self.paused_until = 0.0
        self._queue: deque[asyncio.Future[bool]] = deque()
        self._limit_lowered_at = 0.0
        self._resume_scheduled = False

    @property
    def load(self) -> int:
        return self.in_flight + len(self._queue)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[bool]:
        """Wait for one of the slots for requests in flight. Yields False if the server got worse meanwhile: another
        one may be better."""
        slot: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._queue.append(slot)
        self._admit()
        try:
            yield await slot
        finally:
            if slot.cancelled():
                with suppress(ValueError):  # _admit may have removed it already
                    self._queue.remove(slot)
            elif slot.done() and slot.result():
                self.in_flight -= 1
            self._admit()

    def succeeded(self) -> None:
        """Record an answer: raise the limit."""
        self.failing, self.down_until = False, 0.0
        self.limit = min(float(self._max_in_flight), self.limit + LIMIT_STEP)
        self._admit()

    def overloaded(self, sent_at: float, pause: float) -> None:
        """Record an overload or a timeout: halve the limit (once for all requests that were in flight together), and
        send nothing for `pause` seconds."""
        self.paused_until = max(self.paused_until, time.monotonic() + pause)
        if sent_at > self._limit_lowered_at:
            self.limit, self._limit_lowered_at = max(1.0, self.limit / 2), time.monotonic()
            self._reroute_queue()

    def unreachable(self, pause: float) -> None:
        """Record a failed connection: avoid the server for `pause` seconds, then check again what it serves."""
        was_up = self.down_until <= time.monotonic()
        self.down_until = time.monotonic() + pause
        self.model = None
        if was_up:
            self._reroute_queue()

    def _reroute_queue(self) -> None:
        for slot in self._queue:
            if not slot.cancelled():
                slot.set_result(False)
        self._queue.clear()

    def _slots(self) -> int:
        return int(self.limit) if time.monotonic() >= self.paused_until else 0

    def _admit(self) -> None:
        """Admit queued requests while there are free slots; during a pause, schedule this for its end."""
        while self._queue and self.in_flight < self._slots():
            slot = self._queue.popleft()
            if not slot.cancelled():
                self.in_flight += 1
                slot.set_result(True)
        pause = self.paused_until - time.monotonic()
        if self._queue and pause > 0 and not self._resume_scheduled:
            self._resume_scheduled = True
            asyncio.get_running_loop().call_later(pause + 0.001, self._resume)

    def _resume(self) -> None:
        self._resume_scheduled = False
        self._admit()


def choose_backend(backends: Sequence[Backend], affinity: str, failed: Backend | None = None) -> Backend:
    """The backend for a request of the episode `affinity`; not the one where it has just `failed`, if others are up."""
    now = time.monotonic()
    up = [backend for backend in backends if backend.down_until <= now] or [
        min(backends, key=lambda backend: backend.down_until)
    ]
    up = [backend for backend in up if backend.paused_until <= now] or up
    up = [backend for backend in up if backend is not failed] or up
    own = backends[zlib.crc32(affinity.encode()) % len(backends)]
    mean = sum(backend.load for backend in up) / sum(backend.limit for backend in up)
    if own in up and own.load <= MAX_RELATIVE_LOAD * mean * own.limit + 1:
        return own
    return min(up, key=lambda backend: backend.load / backend.limit)
