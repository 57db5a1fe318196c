"""Flow runs whose process is gone, and what becomes of them: Crashed, or Cancelled where that was asked for.

Prefect itself leaves them as they are, Running for ever and without a Retry button.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psutil

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun, State

RETRY = "Retry goes on where it stopped"
FLOW_RUN_VARIABLE = "PREFECT__FLOW_RUN_ID"
"""Prefect tells it to the process of a flow run that a deployment started."""
_UNFINISHED = ("RUNNING", "PENDING", "CANCELLING", "PAUSED")
_PAGE = 200


def process_name() -> str:
    """This process as the `infrastructure_pid` of a flow run, in the form of Prefect's process workers: HOST:PID."""
    return f"{socket.gethostname()}:{os.getpid()}"


def flow_run_of(process: psutil.Process) -> str | None:
    """The id of the flow run that a process was started for; None where there is none, or it cannot be seen."""
    try:
        return process.environ().get(FLOW_RUN_VARIABLE)
    except (psutil.Error, OSError):
        return None


def own_flow_runs() -> dict[str, psutil.Process]:
    """The child processes of this one that run a flow, by the ids of their flow runs."""
    children = ((flow_run_of(child), child) for child in psutil.Process().children())
    return {run: child for run, child in children if run}


def report_ended(
    client: SyncPrefectClient,
    deployments: Collection[UUID],
    why: str,
    others: bool,
    own: Collection[str] = (),
) -> list[str]:
    """Report every unfinished run of these deployments that has no process as Crashed, because of `why`, and the runs
    below it. Those in `own` are reported although their process is still there. `others`: another process serves these
    deployments too, so a run that does not name its process may be its. Returns what was reported, as "NAME (STATE)".
    """
    living = {flow_run_of(process) for process in psutil.process_iter()} - set(own)
    unfinished = _unfinished(client, {"deployment_id": {"any_": list(deployments)}}) if deployments else ()
    ended = [run for run in unfinished if str(run.id) in own or _is_gone(run, living, others)]
    return sorted(f"{run.name} ({report(client, run, why)})" for run in ended)


def _is_gone(run: FlowRun, living: Collection[str | None], others: bool) -> bool:
    """Whether a run has no process, as far as can be known: a process on another machine cannot be seen."""
    if str(run.id) in living:
        return False
    host, named, _ = (run.infrastructure_pid or "").rpartition(
        ":"
    )  # Prefect's worker notes a bare PID at first
    return host == socket.gethostname() if named else not others


def report(client: SyncPrefectClient, run: FlowRun, why: str) -> str:
    """Report a run, and those below it, as Crashed, or as Cancelled if that was asked for. Returns which."""
    from prefect.states import Cancelled, Crashed

    wanted = Cancelled if run.state is not None and run.state.is_cancelling() else Crashed
    _set(client, run.id, wanted(message=f"{why}; {RETRY}"))
    _report_below(client, run.id, why)
    return wanted.__name__


def report_below(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Hook of a flow whose run has crashed, for example because its process was killed for want of memory: Prefect
    reports only the run itself."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        _report_below(client, flow_run.id, "the process of this run has ended")


def _report_below(client: SyncPrefectClient, run: UUID, why: str) -> None:
    """Report the unfinished task runs of a run, and the flow runs below it."""
    from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
    from prefect.states import Crashed

    tasks = client.read_task_runs(
        flow_run_filter=FlowRunFilter(id={"any_": [run]}),
        task_run_filter=TaskRunFilter(state={"type": {"any_": ["RUNNING", "PENDING"]}}),
    )
    for task in tasks:
        client.set_task_run_state(task.id, Crashed(message=why), force=True)
    for below in list(_unfinished(client, {"parent_flow_run_id": {"any_": [run]}})):
        report(client, below, why)


def show_suspended_below(client: SyncPrefectClient, run: UUID) -> None:
    """Show the unfinished runs below a suspended one as Suspended too. They go on when it is resumed."""
    from prefect.states import Paused

    for below in list(_unfinished(client, {"parent_flow_run_id": {"any_": [run]}})):
        state: State[None] = Paused(
            name="Suspended", message="the run above is suspended, and Resume there goes on"
        )
        client.set_flow_run_state(below.id, state, force=True)


def _set(client: SyncPrefectClient, run: UUID, state: State[Any]) -> None:
    """By force only where Prefect's rules refuse, as from Paused: a run that has ended by itself keeps its state."""
    if client.set_flow_run_state(run, state).status.value != "ACCEPT":
        now = client.read_flow_run(run).state
        if now is None or not now.is_final():
            client.set_flow_run_state(run, state, force=True)


def _unfinished(client: SyncPrefectClient, which: dict[str, Any]) -> Iterator[FlowRun]:
    """Runs that should have a process, so not those that are scheduled or suspended."""
    from prefect.client.schemas.filters import FlowRunFilter

    wanted = FlowRunFilter(**which, state={"type": {"any_": list(_UNFINISHED)}})
    runs: dict[UUID, FlowRun] = {}
    while found := client.read_flow_runs(flow_run_filter=wanted, limit=_PAGE, offset=len(runs)):
        runs |= {run.id: run for run in found}
        if len(found) < _PAGE:
            break
    yield from (run for run in runs.values() if run.state_name != "Suspended")


def deployment_ids(client: SyncPrefectClient, names: Collection[str]) -> dict[str, UUID]:
    """The ids of the deployments "flow/name" that the server knows."""
    from prefect.exceptions import ObjectNotFound

    found = {}
    for name in names:
        with suppress(ObjectNotFound):
            found[name] = client.read_deployment_by_name(name).id
    return found
