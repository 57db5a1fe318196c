"""The flow run of Prefect that this code runs in, if any."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun


def current_flow_run() -> FlowRun | None:
    """The current flow run; None where no flow runs, as in a plain call."""
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    return context.flow_run if context else None
