"""What this project uses of Prefect beyond its documented interface.

Tested with Prefect 3.8.8 and 3.9.1. Four files lean on Prefect in other ways: `flows/server/app.py` runs apart from
this project's code and uses `prefect.server.api.server.create_app`, `tasks/prefect_locks.py` implements its
`LockManager`, `storage/cached_results.py` reads its result files, and `flows/server/settings.py` repeats its order of
settings. tests/tasks/test_prefect_internals.py fails where one of these is gone.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

TEMPORARY_SERVER = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
"""The settings of the temporary servers that Prefect itself starts."""
RUN_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
ENGINE_LOGGER = "prefect.engine"
QUEUE_LOGGERS = ("EventsWorker", "APILogWorker")
"""Names of the loggers of runs, of the process of a run, and of the queues that report to the server."""


def set_up_logging() -> None:
    """Install Prefect's log handlers now. They would otherwise come with the first flow."""
    from prefect.logging.configuration import ensure_logging_setup

    ensure_logging_setup()


def reread_settings() -> None:
    """Make Prefect, which reads the environment when it is imported, read it again."""
    if "prefect.context" in sys.modules:
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()


def drain_queues() -> None:
    """Send the queued logs and events while the server is there, in at most 5 s for each queue."""
    if "prefect.context" in sys.modules:
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker

        APILogWorker.drain_all(timeout=5)
        EventsWorker.drain_all(timeout=5)


@contextmanager
def own_sigterm() -> Iterator[None]:
    """Inside, flows leave the handler of SIGTERM as it is. Prefect's own raises an exception in the main thread. Where
    Python ignores exceptions (destructors, callbacks of weak references) it is lost, and the run goes on."""
    from prefect import flow_engine

    place: Any = flow_engine
    before = place.capture_sigterm
    place.capture_sigterm = nullcontext
    try:
        yield
    finally:
        place.capture_sigterm = before


def keep_retries(worker: Any) -> None:
    """Let a worker of Prefect's report no run as Crashed that was retried since. It reports the end of a process twice,
    some seconds apart, and a retry in between would be lost."""
    report = worker._propose_crashed_state

    async def unless_retried(flow_run: Any, message: str, client: Any = None) -> None:
        if not await _is_retried(client or worker.client, flow_run.id):
            await report(flow_run, message, client)

    worker._propose_crashed_state = unless_retried


async def _is_retried(client: Any, flow_run: Any) -> bool:
    try:
        state = (await client.read_flow_run(flow_run)).state
    except Exception:  # a run that was deleted, a server that is away: the report says so itself
        return False
    return state is not None and state.name == "AwaitingRetry"


@contextmanager
def poll_patiently() -> Iterator[None]:
    """Inside, a runner or worker of Prefect's asks for scheduled and cancelled runs as long as it lives. By itself it
    gives up after some failures: it then ends the flow runs in progress, and cancels none any more."""
    from prefect._internal import _observation_delivery
    from prefect.runner import _scheduled_run_poller
    from prefect.workers import base

    places: tuple[Any, ...] = (_observation_delivery, _scheduled_run_poller, base)
    before = [place.critical_service_loop for place in places]
    for place in places:
        place.critical_service_loop = _poll_for_ever
    try:
        yield
    finally:
        for place, loop in zip(places, before, strict=True):
            place.critical_service_loop = loop


async def _poll_for_ever(
    workload: Callable[[], Awaitable[Any]],
    interval: float,
    run_once: bool = False,
    jitter_range: float = 0.3,
    backoff: int = 1,
) -> None:
    """Takes the arguments of Prefect's `critical_service_loop`."""
    import anyio
    import httpx
    from prefect.utilities.math import clamped_poisson_interval

    while True:
        with suppress(httpx.TransportError, httpx.HTTPStatusError):
            await workload()
        if run_once:
            return
        await anyio.sleep(clamped_poisson_interval(interval, clamping_factor=jitter_range))
