"""Events of runs reach the server, and an automation acts on them. Slow: `make ui`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from flows.runs.run import run_id
from tests.support.prefect_api import Api, wait_until
from tests.support.tiny_factory import Served, tiny

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def api(served: Served) -> Api:
    return Api(served.api)


def events(api: Api, resource: str) -> list[dict[str, Any]]:
    """All events of a resource, the oldest first."""
    wanted = {"resource": {"id": [resource]}, "order": "ASC"}
    return list(api.post("/events/filter", filter=wanted, limit=50)["events"])


def test_stages_budgets_and_runs_say_what_they_did(api: Api, tmp_path: Path) -> None:
    config = tiny(tmp_path, "seed=41", "budget.rollouts=70")
    run = api.start("tiny", data_dir=str(tmp_path), seed=41, budget_rollouts=70)
    assert api.wait(run)["state_type"] == "COMPLETED"
    resource = f"steca.run.{run_id(config)}"
    wait_until(lambda: any(each["event"] == "steca.run.completed" for each in events(api, resource)))
    said = events(api, resource)
    stages = [each["payload"]["stage"] for each in said if each["event"] == "steca.stage.completed"]
    assert stages == ["demonstrate", "warmup", "explore", "rewards", "calibrate", "train", "evaluate"]
    [budget] = [each for each in said if each["event"].startswith("steca.budget.")]
    assert budget["event"] == "steca.budget.80"
    assert "of 70 rollouts" in budget["payload"]["spent"]
    assert budget["resource"]["steca.stage"] == "rewards"
    [completed] = [each for each in said if each["event"] == "steca.run.completed"]
    assert completed["payload"] == {
        "run": run_id(config), "data_dir": str(tmp_path), "cached": False
    }  # fmt: skip


def test_a_stage_that_fails_says_why(api: Api, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("in the way\n")
    run = api.start("tiny", data_dir=str(tmp_path), seed=42)
    assert api.wait(run)["state_type"] == "FAILED"
    resource = f"steca.run.{run_id(tiny(tmp_path, 'seed=42'))}"

    def failed() -> list[dict[str, Any]]:
        return [each for each in events(api, resource) if each["event"] == "steca.stage.failed"]

    wait_until(failed)
    assert failed()[0]["payload"]["stage"] == "warmup"
    assert "cannot write a checkpoint" in failed()[0]["payload"]["error"]


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[Any]]]:
    """A server of the person who wants to be told: its address, and what it was told."""
    told: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", told
    server.shutdown()


def test_an_automation_tells_a_person_which_stage_failed_and_why(
    api: Api, webhook: tuple[str, list[Any]], tmp_path: Path
) -> None:
    from prefect.blocks.notifications import CustomWebhookNotificationBlock
    from prefect.client.orchestration import get_client
    from prefect.events.actions import SendNotification
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
    from prefect.settings import PREFECT_API_URL, temporary_settings

    (tmp_path / "checkpoints").write_text("in the way\n")
    address, told = webhook
    run, name = run_id(tiny(tmp_path, "seed=44")), f"test-{uuid4().hex[:6]}"
    with temporary_settings({PREFECT_API_URL: api.url}), get_client(sync_client=True) as client:
        block = CustomWebhookNotificationBlock(
            name="me", url=address, json_data={"text": "{{subject}}: {{body}}"}
        )
        automation = AutomationCore(
            name=name,
            trigger=EventTrigger(
                match={"prefect.resource.id": f"steca.run.{run}"},
                expect={"steca.stage.failed"}, posture=Posture.Reactive, threshold=1, within=timedelta(0),
            ),
            actions=[
                SendNotification(
                    block_document_id=UUID(str(block.save(name))),
                    subject="{{ event.resource.name }}",
                    body="{{ event.payload.stage }}: {{ event.payload.error }}",
                )
            ],
        )  # fmt: skip
        made = client.create_automation(automation)
        try:
            assert api.wait(api.start("tiny", data_dir=str(tmp_path), seed=44))["state_type"] == "FAILED"
            wait_until(lambda: told)
        finally:
            httpx.delete(f"{api.url}/automations/{made}")
    assert told[0]["text"].startswith(f"{run}: warmup: ")
    assert "cannot write a checkpoint" in told[0]["text"]


def test_an_automation_starts_another_evaluation(api: Api, tmp_path: Path) -> None:
    """As in prefect.yaml: when a run is complete, its policy is tested on other games."""
    from prefect.client.orchestration import get_client
    from prefect.events.actions import RunDeployment
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
    from prefect.settings import PREFECT_API_URL, temporary_settings

    first = run_id(tiny(tmp_path, "seed=43"))
    changes = ["name=check", "tasks.validation=3", "evaluation.splits=[validation]"]
    automation = AutomationCore(
        name=f"test-{uuid4().hex[:6]}",
        trigger=EventTrigger(
            match={"prefect.resource.id": f"steca.run.{first}"},
            expect={"steca.run.completed"}, posture=Posture.Reactive, threshold=1, within=timedelta(0),
        ),
        actions=[
            RunDeployment(
                source="selected", deployment_id=UUID(api.deployments()["tiny"]["id"]),
                parameters={"changes": changes, "seed": 43, "data_dir": str(tmp_path)},
            )
        ],
    )  # fmt: skip
    with temporary_settings({PREFECT_API_URL: api.url}), get_client(sync_client=True) as client:
        made = client.create_automation(automation)
        try:
            assert api.wait(api.start("tiny", data_dir=str(tmp_path), seed=43))["state_type"] == "COMPLETED"
            second = run_id(tiny(tmp_path, "seed=43", *changes))
            named = {"flow_runs": {"name": {"any_": [second]}}}
            wait_until(lambda: api.post("/flow_runs/filter", **named))
            [found] = api.post("/flow_runs/filter", **named)
            assert api.wait(found["id"])["state_type"] == "COMPLETED"
        finally:
            httpx.delete(f"{api.url}/automations/{made}")
