"""What `steca serve` does while it serves: Prefect's runner or worker in a thread, and an eye on the server.

It is in a thread so that signals stay with the command: Prefect's own handlers would leave the flow runs in
progress Running when the server ends with them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from flows.faults import StageFault
from flows.server.flow_run_process import LEAVE, SERVED_BY
from flows.server.flow_run_states import deployment_ids, own_flow_runs, report_ended
from flows.server.polling import Polling, Say
from flows.server.process import GuardedServer, answers_now
from flows.wording import counted
from models.processes.ending import end
from tasks.prefect_internals import poll_patiently

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.deployments.runner import RunnerDeployment

FOR_FLOW_RUNS = 10.0
"""Seconds that the processes of flow runs get to end by themselves."""
TRY_AGAIN_SECONDS = 10.0
LOOK_EVERY = 5.0


class Watched(Protocol):
    """A Prefect server that is looked after."""

    url: str

    def look_after(self) -> None:
        """Report, or mend, that the server is away. Called every second."""
        ...


class OwnServer:
    """A server of this command: started again if it dies."""

    def __init__(self, server: GuardedServer, say: Say) -> None:
        self.url, self._server, self._say, self._next = server.url, server, say, 0.0

    def look_after(self) -> None:
        if self._server.runs() or time.monotonic() < self._next:
            return
        self._say("the Prefect server has ended: starting it again ...")
        try:
            self._server.start()
            self._say("the Prefect server runs again; flow runs in progress go on")
        except StageFault as fault:
            self._next = time.monotonic() + TRY_AGAIN_SECONDS
            self._say(f"{fault}; trying again in {TRY_AGAIN_SECONDS:g} s")


class ServerOfOthers:
    """A server that somebody else runs."""

    def __init__(self, url: str, shown: str, say: Say) -> None:
        self.url, self._shown, self._say = url, shown, say
        self._away, self._next = False, 0.0

    def look_after(self) -> None:
        if time.monotonic() < self._next:
            return
        away = not answers_now()
        if away and not self._away:
            self._say(
                f"the Prefect server at {self._shown} does not answer: flow runs in progress wait for it"
            )
        if self._away and not away:
            self._say(f"the Prefect server at {self._shown} answers again")
        self._away, self._next = away, time.monotonic() + LOOK_EVERY


class Serving:
    """Serves deployments until it is stopped."""

    def __init__(self, offered: Sequence[RunnerDeployment], polling: Polling, say: Say) -> None:
        self._offered, self._polling, self._say = list(offered), polling, say
        self._others = False
        self._thread = threading.Thread(target=self._run, name="polling", daemon=True)
        self._fault: BaseException | None = None

    def start(self) -> None:
        """Say who else has runs of these deployments, report the runs of a killed process as Crashed, and serve."""
        client = _client()
        known = deployment_ids(client, self._names())
        self._others = self._polling.others(client, known, self._say)
        why = "the process of this run is gone: it was killed, or `steca serve` was"
        self._tell(report_ended(client, list(known.values()), why, self._others), "had no process any more")
        os.environ[SERVED_BY] = str(os.getpid())
        self._thread.start()

    def add(self, offered: Sequence[RunnerDeployment]) -> None:
        """Also serve those of these deployments that are new. Raises what Prefect's client raises."""
        for deployment in offered:
            if deployment.name not in {one.name for one in self._offered}:
                self._polling.add(deployment)
                self._offered.append(deployment)
                self._say(f"now also serving {deployment.name}")

    def look_after(self) -> None:
        """Raises StageFault if Prefect's runner or worker has ended by itself."""
        if not self._thread.is_alive():
            raise StageFault(f"nothing asks for runs any more: {self._fault or 'Prefect gave no reason'}")

    def stop(self, why: str) -> None:
        """Report the flow runs in progress as Crashed because of `why`, and end them."""
        own = own_flow_runs()
        try:
            client = _client()
            known = deployment_ids(client, self._names())
            self._tell(report_ended(client, list(known.values()), why, self._others, own), "ended")
        except Exception as error:
            self._say(
                f"the Prefect server could not be told that {counted(len(own), 'flow run')} ended: {error}"
            )
        end(list(own.values()), FOR_FLOW_RUNS, LEAVE)
        end(list(own_flow_runs().values()), 0)  # started since: the next `steca serve` reports them

    def _names(self) -> list[str]:
        return [f"{one.flow_name}/{one.name}" for one in self._offered]

    def _tell(self, runs: Sequence[str], what: str) -> None:
        if runs:
            self._say(
                f"{counted(len(runs), 'flow run')} {what}: {', '.join(runs)}; Retry in the UI goes on where it stopped"
            )

    def _run(self) -> None:
        # Flow runs inherit this: what a terminal sends to all processes is for this one to handle.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
        try:
            with poll_patiently():
                for deployment in self._offered:
                    self._polling.add(deployment)
                asyncio.run(self._polling.poll())
        except BaseException as error:
            self._fault = error


def _client() -> SyncPrefectClient:
    """A client that gives up soon: a server that is away must not delay the end."""
    from prefect.client.orchestration import get_client

    return get_client(httpx_settings={"timeout": 10.0}, sync_client=True)
