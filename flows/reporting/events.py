"""Events of runs and stages, for automations of the Prefect server.

    steca.stage.completed, steca.stage.failed     payload: stage, round, seconds, error
    steca.run.completed                           payload: cached
    steca.budget.80, steca.budget.spent           payload: spent

Each concerns the resource `steca.run.RUN_ID`, which has the label `steca.stage` where a stage is meant, and has `run`
and `data_dir` in its payload.
"""

from __future__ import annotations

from typing import Any

from flows.reporting.flow_run import current_flow_run
from storage.runs import RunFolder

LEVELS = (("steca.budget.spent", 1.0), ("steca.budget.80", 0.8))
"""Events of a budget, and the used share at which they are emitted, the largest first."""


def emit(event: str, folder: RunFolder, stage: str = "", **payload: Any) -> None:
    """Emit an event of a run, or of one of its stages, from the current flow run. Outside of one nothing happens."""
    from prefect.events import emit_event

    if current_flow_run() is None:
        return
    resource = {"prefect.resource.id": f"steca.run.{folder.run_id}", "prefect.resource.name": folder.run_id}
    payload |= {"run": folder.run_id, "data_dir": str(folder.root)}
    if stage:
        resource["steca.stage"] = payload["stage"] = stage
    emit_event(event, resource=resource, payload=payload)


class BudgetEvents:
    """Emits an event when a run's budget is used to 80 %, and when it is spent; each once a stage."""

    def __init__(self, folder: RunFolder, used: float) -> None:
        """`used`: the share used at the beginning, about which nothing is said."""
        self._folder, self._said = folder, used

    def at(self, used: float, spent: str) -> None:
        """`used`: the largest share of a limit that is used now, 0 to 1; `spent`: in words."""
        for event, level in LEVELS:
            if self._said < level <= used:
                emit(event, self._folder, stage="rewards", spent=spent)
                break
        self._said = max(self._said, used)
