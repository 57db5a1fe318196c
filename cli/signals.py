"""Ctrl-C, SIGTERM or a closed terminal during a run: end at once, with the processes started here, but for answers that
are paid for already."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from types import FrameType

import psutil

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SECONDS_FOR_ANSWERS = 30.0
SECONDS_FOR_CHILDREN = 10.0


def leave_on_interrupt() -> None:
    """From now on a signal to end ends the process at once, with status 128 + its number. Left to unwind, Prefect would
    report to its temporary server for minutes, which the signal has ended too. Everything on disk was written whole or
    not at all, so nothing is lost."""
    for number in ENDING:
        if _is_as_usual(number):
            signal.signal(number, _leave)


def stop_on_signals() -> None:
    """From now on SIGTERM unwinds the stack (as SIGINT does already), so that what was started is ended, until
    Prefect's runner takes it over; SIGHUP does the same."""
    if _is_as_usual(signal.SIGTERM):
        signal.signal(signal.SIGTERM, _unwind)
    if _is_as_usual(signal.SIGHUP):
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))


def _is_as_usual(number: signal.Signals) -> bool:
    """Whether nobody ignores the signal on purpose (as nohup does), or has a handler of their own."""
    return signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)


def _unwind(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _leave(number: int, frame: FrameType | None) -> None:
    for each in ENDING:
        signal.signal(each, _at_once)
    endpoint = sys.modules.get("models.client.endpoint")  # loaded only where a model behind an API was asked
    if endpoint is not None:
        endpoint.drain(SECONDS_FOR_ANSWERS)
    _at_once(number, frame)


def _at_once(number: int, _frame: FrameType | None) -> None:
    with suppress(OSError):  # the terminal may be gone
        os.write(sys.stderr.fileno(), b"\ninterrupted; the same command goes on where this one stopped\n")
    _end_children()
    with suppress(OSError):
        if sys.stdout.isatty():
            os.write(sys.stdout.fileno(), b"\x1b[?25h")  # the progress display hides the cursor
    os._exit(128 + number)


def _end_children() -> None:
    """Guards end what they guard; what does not end by itself is killed."""
    children = psutil.Process().children(recursive=True)
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.terminate()
    for child in psutil.wait_procs(children, timeout=SECONDS_FOR_CHILDREN)[1]:
        with suppress(psutil.NoSuchProcess):
            child.kill()
