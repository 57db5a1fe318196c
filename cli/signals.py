"""Ctrl-C, SIGTERM or a closed terminal during a run: exit at once and end the child processes, after a short wait for
paid requests in flight."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from functools import partial
from types import FrameType

from models.processes.ending import end_children

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SECONDS_FOR_ANSWERS = 30.0
SECONDS_FOR_CHILDREN = 10.0


def leave_on_interrupt(patience: float = SECONDS_FOR_CHILDREN) -> None:
    """From now on, these signals end the process at once with status 128 + their number. If the stack were unwound,
    Prefect would try for minutes to report to its temporary server, which the signal has ended too. Files are written
    atomically, so nothing is lost. `patience`: seconds that child processes get; a second signal gives them
    SECONDS_FOR_CHILDREN."""
    for number in ENDING:
        if _has_default(number):
            signal.signal(number, partial(_leave, patience))


def stop_on_signals() -> None:
    """From now on, SIGTERM and SIGHUP unwind the stack (as SIGINT does), so that child processes are ended."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if _has_default(number):
            signal.signal(number, _unwind)


class Interrupt:
    """From now on, the first of these signals is only noted, in `number`. A second one ends the process at once."""

    def __init__(self) -> None:
        self.number: signal.Signals | None = None
        for number in ENDING:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._note)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.number is not None:
            _end_at_once(number)
        self.number = signal.Signals(number)


def _end_at_once(number: int) -> None:
    end_children(0)
    os._exit(128 + number)


def _has_default(number: signal.Signals) -> bool:
    """Whether the signal has its default handler: it is not ignored (as under nohup), and has no other handler."""
    return signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)


def _unwind(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _leave(patience: float, number: int, _frame: FrameType | None) -> None:
    for each in ENDING:
        signal.signal(each, _at_once)
    endpoint = sys.modules.get("models.client.endpoint")  # imported only if requests were sent
    if endpoint is not None:
        endpoint.drain(SECONDS_FOR_ANSWERS)
    _exit(number, patience)


def _at_once(number: int, _frame: FrameType | None) -> None:
    _exit(number, SECONDS_FOR_CHILDREN)


def _exit(number: int, patience: float) -> None:
    with suppress(OSError):  # the terminal may be gone
        os.write(sys.stderr.fileno(), b"\ninterrupted; the same command resumes where this one stopped\n")
    end_children(patience)
    with suppress(OSError):
        if sys.stdout.isatty():
            os.write(sys.stdout.fileno(), b"\x1b[?25h")  # the progress display hides the cursor
    os._exit(128 + number)
