"""A known fault is one line in the log of a run; a defect keeps its traceback."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from flows.faults import StageFault
from flows.reporting.readable_log import REPEATED, make_readable
from tasks.prefect_internals import ENGINE_LOGGER, RUN_LOGGERS


class Shown(logging.Handler):
    """What a terminal shows."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def shown() -> Iterator[Shown]:
    handler, root = Shown(), logging.getLogger()
    loggers = [logging.getLogger(name) for name in (*RUN_LOGGERS, ENGINE_LOGGER)]
    before = [(one, one.level, one.propagate) for one in loggers]
    root.addHandler(handler)
    for one in loggers:
        one.setLevel(logging.INFO)
        one.propagate = True
    make_readable()
    make_readable()
    yield handler
    root.removeHandler(handler)
    for one, level, propagate in before:
        one.setLevel(level)
        one.propagate = propagate


def log_error(name: str, error: Exception, **ids: str) -> None:
    """As Prefect does it."""
    try:
        raise error
    except Exception:
        logging.getLogger(name).exception("Encountered exception: %r", error, extra=ids)


def test_a_known_fault_is_one_line_in_each_log(shown: Shown) -> None:
    fault = StageFault("stage rewards needs explorations")
    for run in ("stage", "run", "run"):
        log_error(RUN_LOGGERS[0], fault, flow_run_id=run)
    log_error(ENGINE_LOGGER, fault)
    assert shown.lines == [str(fault)] * 2


def test_the_same_fault_again_is_said_again(shown: Shown) -> None:
    for _ in range(2):
        log_error(RUN_LOGGERS[0], StageFault("no such run"), flow_run_id="run")
    assert shown.lines == ["no such run"] * 2


def test_a_defect_keeps_its_traceback(shown: Shown) -> None:
    log_error(RUN_LOGGERS[1], ZeroDivisionError("by zero"), task_run_id="task")
    log_error(ENGINE_LOGGER, ZeroDivisionError("by zero"))
    assert len(shown.lines) == 2
    assert all("Traceback" in line and "log_error" in line for line in shown.lines)


def test_a_run_that_was_ended_from_outside_has_not_finished_as_running(shown: Shown) -> None:
    logger = logging.getLogger(RUN_LOGGERS[0])
    logger.info("Finished in state Running()")
    logger.info("Finished in state Completed()")
    assert shown.lines == ["Finished in state Completed()"]


def test_a_line_that_another_log_has_is_not_shown_again(shown: Shown) -> None:
    logger = logging.getLogger(RUN_LOGGERS[0])
    logger.info("rewards: 8 batches")
    logger.info("rewards: 8 batches", extra=REPEATED)
    assert shown.lines == ["rewards: 8 batches"]
