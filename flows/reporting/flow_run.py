"""The flow run of Prefect that this code runs in, if any."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun


def current_flow_run() -> FlowRun | None:
    """The current flow run; None where no flow runs, as in a plain call."""
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    return context.flow_run if context else None


def current_flow_run_id() -> str | None:
    """Prefect's id of the current flow run; None outside of one."""
    if "prefect" not in sys.modules:
        return None
    run = current_flow_run()
    return str(run.id) if run else None
