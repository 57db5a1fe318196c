"""Which server a request goes to, and how many may be on their way there at once.

Requests of one episode share a growing prefix that a server keeps computed, so each goes to the server that its
episode chose (a hash of `affinity`) unless that one is down or has much more to do than the others. A server that
says it has too much gets half as many requests at once, and more again, little by little, while it answers; what
waits for a server that has got worse chooses again.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from models.client.capabilities import Capabilities

GROWTH = 0.25
"""How much a success raises the limit."""
CROWDED = 1.25
"""A server with so many times the mean load, for what it bears, does not get further requests of its own episodes."""


class Backend:
    """One server: its address, and the requests on their way to it. For one event loop."""

    def __init__(self, base_url: str, most: int) -> None:
        self.base_url, self._most = base_url, most
        self.shown = Capabilities()
        self.limit = float(most)
        self.in_flight = 0
        self.model: str | None = None
        """What to ask for there; None until it is known that the server serves it."""
        self.checking: asyncio.Task[str] | None = None
        """Finds that out, for all who wait for it."""
        self.troubled = False
        """Whether a request has failed since the last one that was answered."""
        self.refused_one = False
        """Whether it has refused a request while it answered others."""
        self.down_until = self.closed_until = 0.0
        self._queue: deque[asyncio.Future[bool]] = deque()
        self._lowered_at = 0.0
        self._opening = False

    @property
    def load(self) -> int:
        return self.in_flight + len(self._queue)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[bool]:
        """A place among the requests on their way; waits until there is one. False: the server has got worse
        meanwhile, and another one may be better."""
        place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._queue.append(place)
        self._admit()
        try:
            yield await place
        finally:
            if place.cancelled():
                with suppress(ValueError):  # it may have been passed over already
                    self._queue.remove(place)
            elif place.done() and place.result():
                self.in_flight -= 1
            self._admit()

    def succeeded(self) -> None:
        """The server answered."""
        self.troubled, self.down_until = False, 0.0
        self.limit = min(float(self._most), self.limit + GROWTH)
        self._admit()

    def overloaded(self, sent_at: float, pause: float) -> None:
        """The server refused a request for lack of room, or did not answer in time: halve the limit (once for all
        requests that were on their way together), and send none for `pause` seconds."""
        self.closed_until = max(self.closed_until, time.monotonic() + pause)
        if sent_at > self._lowered_at:
            self.limit, self._lowered_at = max(1.0, self.limit / 2), time.monotonic()
            self._send_away()

    def unreachable(self, pause: float) -> None:
        """Nobody is there: it is avoided for `pause` seconds, and asked again what it serves."""
        was_up = self.down_until <= time.monotonic()
        self.down_until = time.monotonic() + pause
        self.model = None
        if was_up:
            self._send_away()

    def _send_away(self) -> None:
        for place in self._queue:
            if not place.cancelled():
                place.set_result(False)
        self._queue.clear()

    def _open(self) -> int:
        return int(self.limit) if time.monotonic() >= self.closed_until else 0

    def _admit(self) -> None:
        """Let waiting requests go as far as there is room; where the backend is closed, come back when it opens."""
        while self._queue and self.in_flight < self._open():
            place = self._queue.popleft()
            if not place.cancelled():
                self.in_flight += 1
                place.set_result(True)
        closed = self.closed_until - time.monotonic()
        if self._queue and closed > 0 and not self._opening:
            self._opening = True
            asyncio.get_running_loop().call_later(closed + 0.001, self._opened)

    def _opened(self) -> None:
        self._opening = False
        self._admit()


def choose_backend(backends: Sequence[Backend], affinity: str, failed: Backend | None = None) -> Backend:
    """The backend for a request of the episode `affinity`: another one than where it has just `failed`, if there is."""
    now = time.monotonic()
    up = [backend for backend in backends if backend.down_until <= now] or [
        min(backends, key=lambda backend: backend.down_until)
    ]
    up = [backend for backend in up if backend.closed_until <= now] or up
    up = [backend for backend in up if backend is not failed] or up
    own = backends[zlib.crc32(affinity.encode()) % len(backends)]
    mean = sum(backend.load for backend in up) / sum(backend.limit for backend in up)
    if own in up and own.load <= CROWDED * mean * own.limit + 1:
        return own
    return min(up, key=lambda backend: backend.load / backend.limit)
