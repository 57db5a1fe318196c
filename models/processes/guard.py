"""Runs a command, and ends it with everything that it started as soon as nobody is left who wants it.

    python -I guard.py PARENT GRACE COMMAND [ARGUMENT ...]

The command leads a process group of its own. The group is terminated, and killed where it is still there GRACE
seconds later, when standard input ends or process PARENT is gone (killed processes close their pipes, but a copy
of the pipe may live on in a forked child), when the guard itself is terminated, and when the command exits while
others of its group go on. The exit status is the command's (128 + signal where one ended it).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

_PR_SET_CHILD_SUBREAPER = 36
_TICK = 0.1


def run(parent: int, grace: float, command: Sequence[str]) -> int:
    """Run the command to its end or to that of its parent; returns its exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    _adopt_orphans()
    try:
        # What was handed on to the guard by its starter (a listening socket) is for the command.
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, start_new_session=True, close_fds=False
        ).pid
    except OSError as error:
        print(f"cannot run {command[0]}: {error}", file=sys.stderr)
        return 127
    status = None
    try:
        while status is None and not _unwanted(parent):
            status = _reap().get(child)
    finally:
        status = _end(child, grace).get(child, status)
    return 128 + signal.SIGTERM if status is None else status


def _adopt_orphans() -> None:
    """Make this process the parent of what its descendants leave behind (Linux): where process 1 is no init, as in
    many containers, nobody else would reap it, and the group would never be seen to end."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _unwanted(parent: int) -> bool:
    """Wait a tick for the end of standard input; whether nobody wants the command any more."""
    readable, _, _ = select.select([0], [], [], _TICK)
    return bool(readable and not os.read(0, 4096)) or os.getppid() != parent


def _reap() -> dict[int, int]:
    """Exit statuses of the processes that have ended since the last call."""
    ended: dict[int, int] = {}
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            code = os.waitstatus_to_exitcode(status)
            ended[pid] = code if code >= 0 else 128 - code
    return ended


def _end(group: int, grace: float) -> dict[int, int]:
    """Terminate the group, then kill what is left; returns the exit statuses seen on the way."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not cut this short
    ended: dict[int, int] = {}
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline:
            ended |= _reap()
            try:
                os.killpg(group, 0)
            except ProcessLookupError:
                return ended
            time.sleep(_TICK)
    return ended


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
