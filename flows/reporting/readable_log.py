"""The logs of flow runs, made readable.

A known fault is one line. Prefect logs each error with its traceback: for the task, for the stage, for the run, and
once more when the process ends. And what a stage says is also in the log of the run above it, but only once in the
terminal, which shows the logs of both. Of a run that was ended from outside, Prefect says that it finished as Running.
"""

from __future__ import annotations

import logging
from weakref import WeakKeyDictionary

from flows.known_faults import FAULTS
from tasks.prefect_internals import ENGINE_LOGGER, RUN_LOGGERS

REPEATED = {"repeated": True}
"""What a log record gets besides if another log of this process has it already."""
_LOGS: WeakKeyDictionary[BaseException, set[str | None]] = WeakKeyDictionary()
"""By fault, the ids of the runs whose logs have it."""


def make_readable() -> None:
    """Do this to the logs of this process. Once is enough, and twice no harm."""
    for name in RUN_LOGGERS:
        logging.getLogger(name).addFilter(_in_one_line)
        logging.getLogger(name).addFilter(_is_an_end)
    logging.getLogger(ENGINE_LOGGER).addFilter(_is_news)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_is_said_once)


def _in_one_line(record: logging.LogRecord) -> bool:
    """Make a known fault one line, once in the log of a run: Prefect logs that of a deployment twice."""
    fault = _known_fault(record)
    if fault is None:
        return True
    run = getattr(record, "task_run_id", None) or getattr(record, "flow_run_id", None)
    logs = _LOGS.setdefault(fault, set())
    said = run in logs
    logs.add(run)
    record.msg, record.args, record.exc_info = "%s", (str(fault),), None
    return not said


def _is_an_end(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Finished in state Running")


def _is_news(record: logging.LogRecord) -> bool:
    """The engine says of a fault, which the log of the run has, only that it ended the process."""
    return _known_fault(record) is None


def _is_said_once(record: logging.LogRecord) -> bool:
    return not REPEATED.items() <= vars(record).items()


def _known_fault(record: logging.LogRecord) -> BaseException | None:
    error = record.exc_info[1] if record.exc_info else None
    return error if isinstance(error, FAULTS) else None
