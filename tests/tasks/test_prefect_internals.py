"""What we use of Prefect beyond its documented interface is still there."""

from __future__ import annotations

import asyncio
import importlib
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import httpx
import pytest

from storage.cached_results import result_in
from tasks.prefect_internals import (
    ENGINE_LOGGER,
    QUEUE_LOGGERS,
    RUN_LOGGERS,
    keep_retries,
    own_sigterm,
    poll_patiently,
)
from tests.support.tiny_factory import ROOT


@pytest.mark.parametrize(
    "name",
    [
        "prefect.logging.configuration.ensure_logging_setup",
        "prefect.context.refresh_global_settings_context",
        "prefect.events.worker.EventsWorker.drain_all",
        "prefect.logging.handlers.APILogWorker.drain_all",
        "prefect.server.api.server.create_app",
        "prefect.runner._scheduled_run_poller.critical_service_loop",
        "prefect._internal._observation_delivery.critical_service_loop",
        "prefect.utilities.math.clamped_poisson_interval",
        "prefect.workers.base.BaseWorker._propose_crashed_state",
    ],
)
def test_an_internal_is_there(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    try:
        owner = importlib.import_module(module)
    except ModuleNotFoundError:
        module, _, kind = module.rpartition(".")
        owner = getattr(importlib.import_module(module), kind, None)
    gone = f"{name} is gone from this version of Prefect: adapt tasks/prefect_internals.py"
    assert callable(getattr(owner, attribute, None)), gone


@pytest.mark.parametrize("patient", [True, False])
def test_a_runner_polls_on_while_the_server_is_away(patient: bool) -> None:
    """By itself Prefect gives up after three failures, which ends the flow runs in progress."""
    from prefect.runner import _scheduled_run_poller as poller

    polls: list[int] = []

    async def poll() -> None:
        polls.append(1)
        if len(polls) > 5:
            raise KeyError("other errors end it")
        raise httpx.ConnectError("away")

    with poll_patiently() if patient else nullcontext():
        loop = poller.critical_service_loop(poll, interval=0.01, run_once=False, jitter_range=0.3)
        with pytest.raises(KeyError if patient else RuntimeError):
            asyncio.run(loop)
    assert len(polls) == (6 if patient else 3)


READ_AGAIN = """
import os
from prefect.settings import PREFECT_API_URL
from tasks.prefect_internals import reread_settings
before = PREFECT_API_URL.value()
os.environ["PREFECT_API_URL"] = "http://127.0.0.1:9/api"
assert PREFECT_API_URL.value() == before
reread_settings()
print(PREFECT_API_URL.value())
"""


def test_settings_are_read_again() -> None:
    done = subprocess.run(
        [sys.executable, "-c", READ_AGAIN], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "http://127.0.0.1:9/api"


def test_a_stored_result_is_read_without_prefect(tmp_path: Path) -> None:
    from prefect.results import ResultRecord, ResultRecordMetadata
    from prefect.serializers import JSONSerializer

    metadata = ResultRecordMetadata(storage_key="key", serializer=JSONSerializer())
    record = ResultRecord(metadata=metadata, result={"ref": {"rows": 3}, "cut": None})
    assert result_in(record.serialize()) == {"ref": {"rows": 3}, "cut": None}
    with pytest.raises((ValueError, KeyError, TypeError)):
        result_in(b"[]")


def test_the_loggers_have_these_names() -> None:
    from prefect.engine import engine_logger
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker
    from prefect.logging.loggers import get_logger

    assert (get_logger("flow_runs").name, get_logger("task_runs").name) == RUN_LOGGERS
    assert engine_logger.name == ENGINE_LOGGER
    assert (EventsWorker.__name__, APILogWorker.__name__) == QUEUE_LOGGERS


@pytest.mark.parametrize("own", [True, False])
def test_sigterm_stays_with_the_command_that_runs_flows(own: bool, prefect_api: str) -> None:
    from prefect import flow

    @flow
    def handler() -> bool:
        return signal.getsignal(signal.SIGTERM) is before

    before = signal.getsignal(signal.SIGTERM)
    with own_sigterm() if own else nullcontext():
        assert handler() is own
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("kept", [True, False])
def test_the_end_of_a_process_does_not_undo_a_retry(kept: bool, prefect_api: str) -> None:
    """The control: Prefect's own worker reports the retried run as Crashed."""
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.states import AwaitingRetry, Crashed
    from prefect.workers.process import ProcessWorker

    @flow
    def nothing() -> None: ...

    async def after(retried: bool) -> str | None:
        worker = ProcessWorker(work_pool_name="none")
        if kept:
            keep_retries(worker)
        async with get_client() as client:
            run = await client.create_flow_run(nothing, state=Crashed())
            if retried:
                await client.set_flow_run_state(run.id, AwaitingRetry(), force=True)
            await worker._propose_crashed_state(run, "its process has ended", client=client)
            state = (await client.read_flow_run(run.id)).state
            return state.name if state else None

    assert asyncio.run(after(retried=True)) == ("AwaitingRetry" if kept else "Crashed")
    assert asyncio.run(after(retried=False)) == "Crashed"
