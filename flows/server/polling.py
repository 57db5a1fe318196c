"""Who asks the Prefect server for scheduled runs, and starts a process for each: a runner, or a worker of a pool."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from flows.server.other_servers import polled_by_others
from tasks.prefect_internals import keep_retries

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.deployments.runner import RunnerDeployment

Say = Callable[[str], None]


class Polling(Protocol):
    def others(self, client: SyncPrefectClient, deployments: Mapping[str, UUID], say: Say) -> bool:
        """Whether other processes may have runs of these deployments. Called before this one polls."""
        ...

    def add(self, deployment: RunnerDeployment) -> None:
        """Also ask for runs of this one, which is registered. Raises what Prefect's client raises."""
        ...

    async def poll(self) -> None:
        """Poll and start processes, for ever."""
        ...


class RunnerPolling:
    """Asks for the runs of its own deployments, as `prefect.serve` does."""

    def __init__(self) -> None:
        from prefect.runner import Runner

        self._runner = Runner(pause_on_shutdown=False)

    def others(self, client: SyncPrefectClient, deployments: Mapping[str, UUID], say: Say) -> bool:
        found = polled_by_others(client, deployments)
        if found:
            say(
                f"warning: another process already serves {', '.join(found)} on this Prefect server: either may pick "
                "up a run"
            )
        return bool(found)

    def add(self, deployment: RunnerDeployment) -> None:
        self._runner.add_deployment(deployment)

    async def poll(self) -> None:
        await self._runner.start()


class WorkerPolling:
    """Asks for the runs of a work pool, as `prefect worker start` does. The worker has the name of the machine, so that
    one that is started again is the same."""

    def __init__(self, pool: str, healthcheck: bool) -> None:
        self._pool, self._healthcheck, self._name = pool, healthcheck, socket.gethostname()

    def create_pool(self, say: Say) -> None:
        """Create the pool where it is missing."""
        from prefect.client.orchestration import get_client
        from prefect.client.schemas.actions import WorkPoolCreate
        from prefect.exceptions import ObjectNotFound
        from prefect.workers.process import ProcessWorker

        with get_client(sync_client=True) as client:
            try:
                client.read_work_pool(self._pool)
            except ObjectNotFound:
                template = ProcessWorker.get_default_base_job_template()
                made = WorkPoolCreate(name=self._pool, type="process", base_job_template=template)
                client.create_work_pool(made)
                say(f"created the work pool {self._pool}")

    def others(self, client: SyncPrefectClient, deployments: Mapping[str, UUID], say: Say) -> bool:
        workers = client.read_workers_for_work_pool(self._pool)
        online = [one.name for one in workers if one.status == "ONLINE" and one.name != self._name]
        if online:
            say(f"other workers of the pool {self._pool}: {', '.join(sorted(online))}")
        return bool(online)

    def add(self, deployment: RunnerDeployment) -> None:
        """The server knows which pool it belongs to."""

    async def poll(self) -> None:
        from prefect.workers.process import ProcessWorker

        worker = ProcessWorker(work_pool_name=self._pool, name=self._name)
        keep_retries(worker)
        await worker.start(with_healthcheck=self._healthcheck, printer=lambda *text: None)
