"""Progress in the Prefect UI: lines in the log of the flow run, and a bar among its artifacts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from flows.reporting.flow_run import current_flow_run
from flows.reporting.progress import Ending, LineReporter, in_batches, title_of
from flows.reporting.readable_log import REPEATED

if TYPE_CHECKING:
    from uuid import UUID

_PARENT: ContextVar[Callable[[str], None] | None] = ContextVar("log of the parent run", default=None)


@contextmanager
def shown_here_too() -> Iterator[None]:
    """What stages say inside is also in the log of the current flow run, of which they are sub-runs."""
    token = _PARENT.set(_log(repeated=True))
    try:
        yield
    finally:
        _PARENT.reset(token)


class LogReporter(LineReporter):
    """A line for each batch besides, and the bar. Outside of a flow run it shows nothing."""

    def __init__(self) -> None:
        self._own, parent = _log(), _PARENT.get()

        def both(line: str) -> None:
            self._own(line)
            if parent:
                parent(line)

        super().__init__(both)
        self._bar: UUID | None = None
        self._shown = -1

    def stage_started(self, stage: str, round: int, batches: int) -> None:
        self._shown = 0
        try:
            self._bar = _new_bar(f"{title_of(stage, round)}: {in_batches(batches)}")
        except Exception as error:  # a server that takes no bar must not end the work
            self._write(f"no progress bar: {error}")
        super().stage_started(stage, round, batches)

    def batch_done(self, cached: bool) -> None:
        super().batch_done(cached)
        spent = f", {self._spent}" if self._spent else ""
        cache = " (cached)" if cached else ""
        self._own(f"{self._title}: batch {self._done}/{self._batches}{cache}{spent}")

    def stage_ended(self, how: Ending) -> None:
        self._show(self._status())
        super().stage_ended(how)

    def tick(self) -> None:
        super().tick()
        self._show(self._status())

    def _show(self, status: str) -> None:
        """Move the bar by whole per cents: each move is a request."""
        if self._bar is None or int(100 * self.fraction) == self._shown:
            return
        from prefect.artifacts import update_progress_artifact

        self._shown = int(100 * self.fraction)
        try:
            update_progress_artifact(self._bar, 100 * self.fraction, f"{self._title}: {status}")
        except Exception as error:  # a server that is away must not end the work
            self._bar = None
            self._write(f"the progress bar stays where it is: {error}")


def _log(repeated: bool = False) -> Callable[[str], None]:
    """Writes to the log of the current flow run, from any thread. `repeated`: another log has these lines already."""
    from prefect.exceptions import MissingContextError
    from prefect.logging import get_run_logger

    try:
        logger: logging.Logger | logging.LoggerAdapter[logging.Logger] = get_run_logger()
    except MissingContextError:
        return lambda line: None
    return lambda line: logger.info("%s", line, extra=REPEATED if repeated else None)


def _new_bar(description: str) -> UUID | None:
    """A new progress bar of the current flow run; None outside of one. Raises what Prefect's client raises."""
    from prefect.artifacts import create_progress_artifact

    if current_flow_run() is None:
        return None
    made = create_progress_artifact(0.0, description=description)
    assert not isinstance(made, Coroutine), "called from a thread without an event loop"
    return made
