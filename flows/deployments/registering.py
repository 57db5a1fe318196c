"""Register deployments with a Prefect server. What people did there stays: schedules, pauses, edited parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import flows
from flows.deployments.form import form_of
from flows.deployments.offered import Offer

if TYPE_CHECKING:
    from prefect.client.schemas.responses import DeploymentResponse
    from prefect.deployments.runner import RunnerDeployment

CHECKOUT = Path(flows.__file__).resolve().parents[1]
OF_PEOPLE = ("schedules", "paused", "concurrency_limit", "concurrency_options", "job_variables")
"""What people set for a deployment in the UI. It is not sent, so that the server keeps it."""


def register(offers: Sequence[Offer], say: Callable[[str], None], pool: str = "") -> list[RunnerDeployment]:
    """Register every deployment, or bring it up to date. Reports which edited parameters stay. `pool`: the work pool
    whose workers run them, from a checkout in the same place as this one; without it, a process has to serve them.
    Raises what Prefect's client raises."""
    made = [_deployment(offer, pool) for offer in offers]
    for deployment in made:
        known = _known(deployment.full_name)
        if known:
            _keep_edits(deployment, known, say)
        deployment.apply()
    return made


def registered_elsewhere(offers: Sequence[Offer], data_dir: str) -> dict[str, tuple[UUID, str]]:
    """Of these deployments, by "flow/name", those that the server has for another data folder than
    this one, with that folder."""
    found = {}
    for name in (f"{offer.flow.name}/{offer.name}" for offer in offers):
        known = _known(name)
        fields = ((known.parameter_openapi_schema or {}) if known else {}).get("properties", {})
        folder = fields.get("data_dir", {}).get("default")
        if known and folder and folder != data_dir:
            found[name] = known.id, str(folder)
    return found


def _deployment(offer: Offer, pool: str) -> RunnerDeployment:
    deployment: Any = offer.flow.to_deployment(
        name=offer.name,
        parameters=dict(offer.defaults),
        description=offer.description,
        tags=["steca"],
        work_pool_name=pool or None,
    )  # a plain object, a coroutine only where it is called from an event loop
    deployment._parameter_openapi_schema = form_of(offer.flow, offer.defaults, offer.choices)
    deployment.model_fields_set.difference_update(OF_PEOPLE)
    made: RunnerDeployment = deployment
    if pool:
        _run_in_checkout(made)
    return made


def _run_in_checkout(deployment: RunnerDeployment) -> None:
    """Let workers change to the checkout and find the flow there."""
    from prefect.runner.storage import LocalStorage

    file, _, function = (deployment.entrypoint or "").rpartition(":")
    deployment.entrypoint = f"{Path(file).resolve().relative_to(CHECKOUT)}:{function}"
    deployment.storage = LocalStorage(str(CHECKOUT))


def _known(full_name: str) -> DeploymentResponse | None:
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            return client.read_deployment_by_name(full_name)
        except ObjectNotFound:
            return None


def _keep_edits(deployment: RunnerDeployment, known: DeploymentResponse, say: Callable[[str], None]) -> None:
    """Keep the parameters that differ from the default with which they were registered."""
    registered = (known.parameter_openapi_schema or {}).get("properties", {})
    for name, value in known.parameters.items():
        field = registered.get(name)
        if field is None or value == field.get("default"):
            continue
        if name in deployment._parameter_openapi_schema.properties:
            deployment.parameters[name] = value
            say(f"{deployment.name}: {name} stays {value!r}, as edited in the UI")
