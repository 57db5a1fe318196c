"""The tries of one request so far, and when they are enough."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from tenacity import RetryCallState

from models.client.errors import RequestError
from models.client.load_balancing import Backend

MALFORMED = 4
"""Attempts after which a server that answers nonsense, or as another model, is given up: each may cost money."""
SUSPICIOUS, ODD = 2, 5
"""A server error (500, 501) may pass. After so many in a row it is looked into whether it is about a field of the
request, and after so many more whether it is about this one sample."""


class Attempts:
    """The tries of one request so far. `sent_at` is time.monotonic() at the last one."""

    def __init__(self, patience: float) -> None:
        self.began = self.sent_at = time.monotonic()
        self.started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.faults: list[str] = []
        self.backend: Backend | None = None
        self.sent_without: frozenset[str] = frozenset()
        """The features that its server was known to refuse when it was sent."""
        self._patience, self._failing_since = patience, 0.0
        self._last_status = self._in_a_row = 0

    def begins(self, backend: Backend) -> None:
        self.backend, self.sent_at, self.sent_without = backend, time.monotonic(), backend.shown.refused

    def met(self, error: RequestError) -> None:
        if not self.faults:
            self._failing_since = time.monotonic()
        self.faults.append(error.kind)

    def doubts(self, error: RequestError) -> bool:
        """Whether it is time to find out what a failure is about; every failure is shown once, in order."""
        self._in_a_row = self._in_a_row + 1 if error.status == self._last_status else 1
        self._last_status = error.status
        if not error.refuses:
            return False
        return not error.passes or self._in_a_row == SUSPICIOUS or self.is_odd

    @property
    def is_odd(self) -> bool:
        """Whether it has failed in the same way so often that this is no accident."""
        return self._in_a_row > 0 and self._in_a_row % ODD == 0

    def is_enough(self, state: RetryCallState) -> bool:
        """Whether it has failed for too long, would have to wait for too long, or has failed too often in a way that
        costs."""
        if sum(kind in ("malformed", "stale") for kind in self.faults) >= MALFORMED:
            return True
        return time.monotonic() - self._failing_since + (asked_pause(state) or 0.0) >= self._patience


def asked_pause(state: RetryCallState) -> float | None:
    """The pause that the server asks for."""
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after if isinstance(error, RequestError) else None
