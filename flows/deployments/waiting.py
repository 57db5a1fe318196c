"""One run at a time in a data folder, of those that were started from a deployment: by hand or by a schedule.

A newcomer waits and says so in its state, which the UI shows. The lock is the kernel's, so it is free as soon as the
process that holds it ends. Prefect's own limits need a lease that a restarted server forgets, which would end the run.
Commands in a terminal are not held up: they may work in one folder at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.deployments.names import PROVISIONAL, rename
from flows.reporting.flow_run import current_flow_run
from flows.runs.lock import Held, hold

WAITING = "Waiting"
"""Name of the state of a run that waits. Its type is RUNNING: the process is there."""


@contextmanager
def turn_in(root: Path, what: str, log: Callable[[str], None]) -> Iterator[Held | None]:
    """Wait for the turn of this flow run in a data folder, where it was started from a deployment (else: None). `what`
    it is, for those who wait for it, and as its own name while it waits."""
    if not is_of_deployment():
        yield None
        return
    waited: list[str] = []

    def say(line: str) -> None:
        waited.append(line)
        rename(what + PROVISIONAL)
        log(line)
        _show(WAITING, line)

    with hold(root / "locks" / "deployments.lock", f"in {root}", say, holder=what) as turn:
        if waited:
            _show("Running")
        yield turn


def is_of_deployment() -> bool:
    """Whether the current flow run was started from a deployment, and is no sub-run of another."""
    run = current_flow_run()
    return bool(run and run.deployment_id)


def _show(name: str, message: str | None = None) -> None:
    """Show a state of type RUNNING in the UI."""
    from prefect.client.orchestration import get_client
    from prefect.runtime import flow_run
    from prefect.states import Running

    with get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run.id, Running(name=name, message=message), force=True)
