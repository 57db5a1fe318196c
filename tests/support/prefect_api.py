"""What a person does in the Prefect UI, as the requests that the UI sends."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import httpx

T = TypeVar("T")
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
"""Types of states in which a run has ended."""
PATIENCE = 240.0


def wait_until(something: Callable[[], T], seconds: float = PATIENCE, what: str = "") -> T:
    """What a function returns as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (found := something()):
        assert time.monotonic() < deadline, what or something
        time.sleep(0.2)
    return found


class Api:
    """The calls of the UI that the tests need."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Tries again while the server is away or its database is busy, as Prefect's clients do."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                # without `verify=False` each request would first read all certificates of this machine
                answer = httpx.request(method, f"{self.url}{path}", json=body, timeout=30, verify=False)
                if answer.status_code != 503:
                    assert answer.is_success, answer.text
                    return answer.json() if answer.content else None
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, f"{method} {path} was not answered"
            time.sleep(0.5)

    def post(self, path: str, **body: Any) -> Any:
        return self.call("POST", path, body)

    def deployments(self) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in self.post("/deployments/filter")}

    def start(self, deployment: str, name: str | None = None, **parameters: Any) -> str:
        """Start a run of a deployment, as soon as it is offered. Returns the id of the flow run."""
        wait_until(lambda: deployment in self.deployments())
        path = f"/deployments/{self.deployments()[deployment]['id']}/create_flow_run"
        named = {"name": name} if name else {}
        return str(self.post(path, parameters=parameters, **named)["id"])

    def refused(self, deployment: str, **parameters: Any) -> httpx.Response:
        path = f"/deployments/{self.deployments()[deployment]['id']}/create_flow_run"
        return httpx.post(f"{self.url}{path}", json={"parameters": parameters}, timeout=30, verify=False)

    def run(self, run: str) -> dict[str, Any]:
        return dict(self.call("GET", f"/flow_runs/{run}"))

    def state(self, run: str) -> dict[str, Any]:
        return dict(self.run(run)["state"])

    def states(self, run: str) -> list[str]:
        """Names of all states that a run had."""
        return [state["name"] for state in self.call("GET", f"/flow_run_states/?flow_run_id={run}")]

    def wait(self, run: str, seconds: float = PATIENCE, states: Collection[str] = FINAL) -> dict[str, Any]:
        """The run as soon as the type of its state is one of `states`."""
        deadline = time.monotonic() + seconds
        while (found := self.run(run))["state_type"] not in states:
            assert time.monotonic() < deadline, f"flow run {run} is still {found['state']}"
            time.sleep(0.5)
        return found

    def wait_for(self, run: str, *names: str, seconds: float = PATIENCE) -> dict[str, Any]:
        """The state of a run as soon as its name is one of `names`."""
        wait_until(lambda: self.state(run)["name"] in names, seconds, f"{run} is not {names}")
        return self.state(run)

    def below(self, run: str) -> list[dict[str, Any]]:
        """The flow runs that a run started."""
        return list(self.post("/flow_runs/filter", flow_runs={"parent_flow_run_id": {"any_": [run]}}))

    def logs(self, run: str) -> str:
        found = self.post("/logs/filter", logs={"flow_run_id": {"any_": [run]}}, limit=200)
        return "\n".join(line["message"] for line in found)

    def cancel(self, run: str) -> None:
        self._set(run, {"type": "CANCELLING", "name": "Cancelling"})

    def suspend(self, run: str) -> None:
        until = (datetime.now(UTC) + timedelta(seconds=300)).isoformat()
        details = {"pause_timeout": until, "pause_reschedule": True}
        self._set(run, {"type": "PAUSED", "name": "Suspended", "state_details": details})

    def pause(self, run: str) -> None:
        """Not a button of the UI: the state of a flow that waits for an input."""
        self._set(run, {"type": "PAUSED", "name": "Paused", "state_details": {"pause_reschedule": False}})

    def retry(self, run: str) -> None:
        self._set(run, {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"})

    def resume(self, run: str, **given: Any) -> None:
        """Resume a suspended run, or a paused one with what is given in its form."""
        answer = self.post(f"/flow_runs/{run}/resume", **({"run_input": given} if given else {}))
        assert answer["status"] == "ACCEPT", answer

    def shown_in_the_form(self, run: str, key: str) -> str:
        """The text above the form of a pause."""
        found = self.post(f"/flow_runs/{run}/input/filter", prefix=f"paused-{key}", limit=200)
        [text] = [each["value"] for each in found if each["key"].endswith("-description")]
        return str(json.loads(text))

    def _set(self, run: str, state: dict[str, Any]) -> None:
        answer = self.post(f"/flow_runs/{run}/set_state", state=state, force=True)
        assert answer["status"] == "ACCEPT", answer
