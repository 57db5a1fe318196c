"""The process of a flow run that a deployment started: it ends when it should, also in the middle of a batch.

A thread watches, because Prefect looks at its own requests between tasks only, and a training is one task:

- The process that started it is gone (`steca serve` was killed): the run is reported as Crashed where the server still
  answers, and unwound by LEAVE.
- The run is suspended: Prefect's own `Pause` is raised, so Resume starts it again.
- The run is cancelled: Prefect terminates it.
- `steca serve` stops: it reports the run as Crashed and sends LEAVE, which raises Prefect's `Abort`: the run keeps that
  state.

All of these raise an exception in the main thread. It may be lost (Python ignores exceptions in callbacks of weak
references), or take long to unwind the stack. A process that is still there after some seconds ends its children and
exits.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, NoReturn
from uuid import UUID

import psutil

from flows.server.flow_run_states import FLOW_RUN_VARIABLE, process_name, report, show_suspended_below
from models.processes.ending import end_children

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import State

SERVED_BY = "STECA_SERVED_BY"
"""Environment variable with the id of the `steca serve` process, for the flow runs that it starts."""
ABANDONED = "the process that started this run is gone: `steca serve` was killed"
TICK = 0.5
LOOK_EVERY = 2.0
PREFECT_FIRST = 4.0
"""Seconds that Prefect gets to stop a suspended run between two tasks."""
UNWIND = 6.0
"""Seconds that the stack gets to unwind, which waits for answers in flight and saves the state of the stage."""
FOR_CHILDREN = 3.0
LEAVE = signal.SIGUSR1
"""Ends a flow run whose state is decided."""


def watch_this_process() -> None:
    """Start to watch, once in a process. Does nothing where no deployment started it, as in `steca run`."""
    run = os.environ.get(FLOW_RUN_VARIABLE)
    here = threading.current_thread() is threading.main_thread()
    if run and here and not any(isinstance(thread, _Watch) for thread in threading.enumerate()):
        _Watch(UUID(run)).start()


def told_to_end() -> bool:
    """Whether a person has cancelled or suspended the run of this process, as far as the server answers. What fails
    then may fail for it: the servers and child processes of the run are ended with it."""
    from prefect.client.orchestration import get_client

    run = os.environ.get(FLOW_RUN_VARIABLE)
    if not run:
        return False
    try:
        with get_client(httpx_settings={"timeout": 5.0}, sync_client=True) as client:
            state = client.read_flow_run(UUID(run)).state
    except Exception:
        return False
    return state is not None and (state.is_cancelling() or state.is_cancelled() or state.name == "Suspended")


_LAST_WORDS: list[Callable[[], None]] = []


@contextmanager
def last_words(say: Callable[[], None]) -> Iterator[None]:
    """Inside, `say` is called if this process has to exit without unwinding its stack. Errors in it are ignored."""
    _LAST_WORDS.append(say)
    try:
        yield
    finally:
        _LAST_WORDS.remove(say)


class _Watch(threading.Thread):
    def __init__(self, run: UUID) -> None:
        super().__init__(name="flow-run-watch", daemon=True)
        self._run = run
        self._parent, self._served_by = os.getppid(), int(os.environ.get(SERVED_BY, os.getppid()))
        self._registered = False
        self._suspended: State[None] | None = None
        self._cancelling = False
        self._deadline: float | None = None
        signal.signal(LEAVE, self._unwind)

    def run(self) -> None:
        from prefect.client.orchestration import get_client
        from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

        next_look = 0.0
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
            client = get_client(httpx_settings={"timeout": 5.0}, sync_client=True)
            while True:
                if self._deadline and time.monotonic() > self._deadline:
                    self._leave(client)
                if self._is_abandoned() and not self._deadline:
                    _print_nowhere()
                    self._report(client, ABANDONED)
                    self._unwind_soon()
                if time.monotonic() > next_look and not self._deadline:
                    self._look(client)
                    next_look = time.monotonic() + LOOK_EVERY
                time.sleep(TICK)

    def _is_abandoned(self) -> bool:
        """Whether the process that started this one, or `steca serve`, is gone; it may have been before we began."""
        return os.getppid() != self._parent or not psutil.pid_exists(self._served_by)

    def _look(self, client: SyncPrefectClient) -> None:
        """Compare with what the server says. A server that does not answer is asked again later."""
        try:
            if not self._registered:
                client.update_flow_run(self._run, infrastructure_pid=process_name())
                self._registered = True
            state = client.read_flow_run(self._run).state
        except Exception:
            return
        if state and state.is_paused() and state.name == "Suspended":
            self._end_suspended(client, state)
        elif state and (state.is_cancelling() or state.is_cancelled() or state.is_crashed()):
            self._cancelling = state.is_cancelling()
            self._deadline = time.monotonic() + UNWIND

    def _end_suspended(self, client: SyncPrefectClient, state: State[None]) -> None:
        time.sleep(PREFECT_FIRST)
        self._suspended = state
        with suppress(Exception):  # a server that is away: only what the UI shows of the stage
            show_suspended_below(client, self._run)
        self._unwind_soon()

    def _report(self, client: SyncPrefectClient, why: str) -> None:
        """Where this fails, the server is gone too, and the next `steca serve` reports it."""
        with suppress(Exception):
            report(client, client.read_flow_run(self._run), why)

    def _leave(self, client: SyncPrefectClient) -> NoReturn:
        """With status 0: the run's state is decided, and Prefect's runner would report any other status as Crashed."""
        for say in reversed(_LAST_WORDS):
            with suppress(Exception):
                say()
        end_children(FOR_CHILDREN)
        if self._cancelling:  # Prefect's runner reports it too, unless it has lost its connection
            self._report(client, "cancelled")
        os._exit(0)

    def _unwind_soon(self) -> None:
        self._deadline = time.monotonic() + UNWIND
        os.kill(os.getpid(), LEAVE)

    def _unwind(self, _number: int, _frame: FrameType | None) -> None:
        """Runs in the main thread, which is somewhere in the flow."""
        from prefect.exceptions import Abort, Pause

        raise Pause(state=self._suspended) if self._suspended else Abort("the run was ended")


def _print_nowhere() -> None:
    """The pipes of this process end at a process that is gone. A log line into them would end it in the middle."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)


def is_from_outside(error: BaseException) -> bool:
    """Whether the process was told to end. What fails while the stack is unwound for that may hide the signal."""
    seen: BaseException | None = error
    while seen is not None and isinstance(seen, Exception):
        seen = seen.__cause__ or seen.__context__
    return seen is not None
