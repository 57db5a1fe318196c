"""Runs a command, and ends it with all its child processes as soon as its parent is gone.

    python -I guard.py PARENT GRACE COMMAND [ARGUMENT ...]

The command leads its own process group. The group gets SIGTERM, and SIGKILL after GRACE seconds if it is still there:
when standard input ends or process PARENT is gone (a killed process closes its pipes, but a forked child may hold a
copy), when the guard itself is terminated, and when the command exits while others of its group still run. The exit
status is the command's (128 + signal if a signal ended it).
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
from collections.abc import Callable, Sequence

GRACE_SECONDS = 15.0
"""Time for guarded servers and training processes to end by themselves; vLLM takes about two seconds."""
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_PDEATHSIG = 1
_TICK = 0.1


def guarded(command: Sequence[str], grace: float | None = None) -> list[str]:
    """The command line that runs `command` under a guard that ends it when this process ends. `grace`: seconds that it
    gets to end by itself; None: GRACE_SECONDS."""
    grace = GRACE_SECONDS if grace is None else grace
    return [sys.executable, "-I", __file__, str(os.getpid()), str(grace), *command]


def run(parent: int, grace: float, command: Sequence[str]) -> int:
    """Run the command until it or its parent ends; returns its exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    _adopt_orphans()
    try:
        # File descriptors that the guard inherited (a listening socket) are for the command.
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            close_fds=False,
            preexec_fn=_die_with_this_process(),
        ).pid
    except OSError as error:
        print(f"cannot run {command[0]}: {error}", file=sys.stderr)
        return 127
    status = None
    try:
        while status is None and not _is_abandoned(parent):
            status = _reap().get(child)
    finally:
        status = _end(child, grace).get(child, status)
    return 128 + signal.SIGTERM if status is None else status


def _adopt_orphans() -> None:
    """Make this process the parent of orphaned descendants (Linux): in many containers process 1 is no init, so nobody
    else would reap them and the group would never seem to end."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _die_with_this_process() -> Callable[[], None] | None:
    """What a child does before it runs its command, so that it is killed if the guard is (Linux)."""
    try:
        prctl = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return None
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) and None


def _is_abandoned(parent: int) -> bool:
    """Wait a tick for standard input to end; whether it has ended or the parent is gone."""
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
    """Terminate the group, then kill what is left; returns the exit statuses collected meanwhile."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second SIGTERM must not interrupt this
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
