"""`python -m cli.killed_runs POOL`, before a worker starts: runs of a killed worker are reported as Crashed, and can
then be retried.

It is for a worker that is alone on its host name, as in docker-compose.yml: what ran there before is gone.
"""

from __future__ import annotations

import sys

from cli.terminal.console import make_console, say
from flows.server.flow_run_states import report_ended

WHY = "the worker of this run was killed"


def main(pool: str) -> None:
    """Report every unfinished run of the work pool whose process was on this host and is gone."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName

    client = get_client(sync_client=True)
    served = client.read_deployments(work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])))
    for run in report_ended(client, [one.id for one in served], WHY, others=False):
        say(make_console(), f"reported as ended with the worker before: {run}")


if __name__ == "__main__":
    main(sys.argv[1])
