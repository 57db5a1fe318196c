"""Ends child processes: terminated first, and killed after a while."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from contextlib import suppress

import psutil


def end_children(patience: float) -> None:
    """End the child processes of this one, which get `patience` seconds. They are guards or flow runs: each ends the
    processes below it."""
    end(psutil.Process().children(), patience)


def end(
    processes: Sequence[psutil.Process], patience: float, number: signal.Signals = signal.SIGTERM
) -> None:
    """Send processes a signal. Kill whatever of them and of those below them is there after `patience` seconds."""
    everyone = _with_descendants(processes)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
    for process in psutil.wait_procs(everyone, timeout=patience)[1]:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _with_descendants(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    found = list(processes)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            found += process.children(recursive=True)
    return found
