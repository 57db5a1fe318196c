"""The attempts of one request so far, and when to stop retrying."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from tenacity import RetryCallState

from models.client.errors import RequestError
from models.client.load_balancing import Backend

MAX_MALFORMED = 4
"""Stop after so many unreadable answers or answers by another model: each may cost money."""
SUSPICIOUS, PERSISTENT = 2, 5
"""A server error (500, 501) may be transient. After SUSPICIOUS equal ones in a row we check whether it is about a field
of the request, after every PERSISTENT whether it is about this one sample."""


class Attempts:
    """The attempts of one request so far. `sent_at` is time.monotonic() at the last one."""

    def __init__(self, patience: float) -> None:
        self.began = self.sent_at = time.monotonic()
        self.started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.faults: list[str] = []
        """The kind of each failed attempt's error."""
        self.backend: Backend | None = None
        self.omitted: frozenset[str] = frozenset()
        """The features that were left out of the last attempt because its server does not support them."""
        self._patience, self._failing_since = patience, 0.0
        self._last_status = self._in_a_row = 0

    def start(self, backend: Backend) -> None:
        self.backend, self.sent_at = backend, time.monotonic()
        self.omitted = backend.capabilities.unsupported

    def record_failure(self, error: RequestError) -> None:
        if not self.faults:
            self._failing_since = time.monotonic()
        self.faults.append(error.kind)

    def needs_diagnosis(self, error: RequestError) -> bool:
        """Whether to find out now what a failure is about. Call it once for each failure, in order: it counts them."""
        self._in_a_row = self._in_a_row + 1 if error.status == self._last_status else 1
        self._last_status = error.status
        if not error.may_be_refusal:
            return False
        return not error.is_transient or self._in_a_row == SUSPICIOUS or self.is_persistent

    @property
    def is_persistent(self) -> bool:
        """Whether it has failed in the same way too often for chance."""
        return self._in_a_row > 0 and self._in_a_row % PERSISTENT == 0

    def is_exhausted(self, state: RetryCallState) -> bool:
        """Whether to stop: it has failed for too long, the requested pause is too long, or too many answers that may
        cost money were useless."""
        if sum(kind in ("malformed", "stale") for kind in self.faults) >= MAX_MALFORMED:
            return True
        return time.monotonic() - self._failing_since + (requested_pause(state) or 0.0) >= self._patience


def requested_pause(state: RetryCallState) -> float | None:
    """The pause in seconds that the server asked for, if any."""
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after if isinstance(error, RequestError) else None
