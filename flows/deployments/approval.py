"""A person decides before a stage begins: the run pauses, and its page in the UI has a form to resume it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated, Any, Literal

from prefect.input import RunInput
from pydantic import ConfigDict, WithJsonSchema

from configs.faults import ConfigFault
from configs.forms import field_schema, from_form
from configs.schema import FactoryConfig
from flows.deployments.evidence import shown_before
from flows.deployments.form import without_null
from flows.faults import StageFault
from flows.reporting.progress import current
from flows.runs.lock import Held
from flows.runs.run import open_run
from flows.stages import STAGE_FLOWS
from storage.runs import RunFolder

DAYS = 30
"""How long a run waits. Then it fails, and a retry asks again."""


def _larger(field: str) -> WithJsonSchema:
    return WithJsonSchema(
        field_schema(field) | {"description": "Another limit from now on. Empty: as it is."}
    )


def _left_empty(schema: dict[str, Any]) -> None:
    for field in schema["properties"].values():
        without_null(field)


class Approval(RunInput):
    """What a person decides."""

    model_config = ConfigDict(json_schema_extra=_left_empty)

    decision: Literal["go on", "abort"] = "go on"
    budget_rollouts: Annotated[int | None, _larger("budget_rollouts")] = None
    budget_minutes: Annotated[float | None, _larger("budget_minutes")] = None


class Aborted(StageFault):
    """A person has ended the run."""


def approved(
    config: FactoryConfig, folder: RunFolder, stage: str, round: int, turn: Held | None
) -> FactoryConfig:
    """Wait until a person lets a stage begin. Where the budget ended the stage rewards early and is larger now, that
    stage goes on first, and the person is asked again. Other runs have their turn meanwhile. Returns the configuration
    with the budget that the person gave. Raises Aborted."""
    remark, asked = "", 0
    while True:
        asked += 1
        text = shown_before(config, folder, stage, round)
        current().log(f"{stage} waits for a person: Resume, in the menu of this run, opens the form")
        with turn.let_go() if turn else nullcontext():
            answer = _ask(f"{remark}\n\n{text}".strip(), f"{stage}-{round}-{asked}")
        if answer.decision == "abort":
            raise Aborted(f"a person ended the run before stage {stage}; what it has done so far is kept")
        try:
            larger = _with_budget(config, answer)
        except ConfigFault as fault:
            remark = f"**Not possible:** {fault}"
            continue
        raised, config, remark = larger != config, larger, ""
        open_run(folder, config)
        rewards = folder.stage(round, "rewards")
        if not (stage != "rewards" and raised and rewards and rewards.stopped):
            return config
        STAGE_FLOWS["rewards"](folder.run_id, round=round, data_dir=str(folder.root))


def _ask(text: str, place: str) -> Approval:
    """Pause, and return what the person answers. A retry of the flow run asks again."""
    from prefect import pause_flow_run
    from prefect.runtime import flow_run

    asked = Approval.with_initial_data(description=text)
    key = f"{place}-attempt-{flow_run.run_count}"
    return pause_flow_run(wait_for_input=asked, timeout=DAYS * 86_400, poll_interval=5, key=key)


def _with_budget(config: FactoryConfig, answer: Approval) -> FactoryConfig:
    fields = {"budget_rollouts": answer.budget_rollouts, "budget_minutes": answer.budget_minutes}
    return from_form(config, fields)
