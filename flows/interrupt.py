"""Ctrl-C during a run: end at once, with the processes started here, but for answers that are paid for already."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from types import FrameType

import psutil


def leave_on_interrupt() -> None:
    """From now on SIGINT ends the process at once. Left to unwind, Prefect would report to its temporary server for
    minutes, which Ctrl-C has ended too. Everything on disk was written whole or not at all, so nothing is lost."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored on purpose
        signal.signal(signal.SIGINT, _leave)


SECONDS_FOR_ANSWERS = 30.0


def _leave(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, _at_once)
    endpoint = sys.modules.get("models.endpoint")  # loaded only where a model behind an API was asked
    if endpoint is not None:
        endpoint.finish(SECONDS_FOR_ANSWERS)
    _at_once(_signal, _frame)


def _at_once(_signal: int, _frame: FrameType | None) -> None:
    os.write(sys.stderr.fileno(), b"\ninterrupted; the same command goes on where this one stopped\n")
    children = psutil.Process().children(recursive=True)
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.terminate()
    psutil.wait_procs(children, timeout=10)
    if sys.stdout.isatty():
        os.write(sys.stdout.fileno(), b"\x1b[?25h")  # the progress display hides the cursor
    os._exit(130)
