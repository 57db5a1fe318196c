"""What a person does in the Prefect UI, as the requests that the UI sends."""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from typing import Any

import httpx

FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


class Api:
    """The few calls of the UI that the tests need."""

    def __init__(self, url: str) -> None:
        self.url = url

    def post(self, path: str, **body: Any) -> Any:
        """Tries again while the server answers 503, as Prefect's client does: its database is busy."""
        for _ in range(40):
            answer = httpx.post(f"{self.url}{path}", json=body, timeout=30)
            if answer.status_code != 503:
                break
            time.sleep(0.5)
        assert answer.is_success, answer.text
        return answer.json()

    def deployments(self) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in self.post("/deployments/filter")}

    def start(self, deployment: str, name: str | None = None, **parameters: Any) -> str:
        return self.post(
            f"/deployments/{self.deployments()[deployment]['id']}/create_flow_run",
            parameters=parameters,
            **({"name": name} if name else {}),
        )["id"]

    def refused(self, deployment: str, **parameters: Any) -> httpx.Response:
        path = f"/deployments/{self.deployments()[deployment]['id']}/create_flow_run"
        return httpx.post(f"{self.url}{path}", json={"parameters": parameters}, timeout=30)

    def run(self, run: str) -> dict[str, Any]:
        return httpx.get(f"{self.url}/flow_runs/{run}", timeout=30).json()

    def wait(self, run: str, seconds: float = 240, states: Collection[str] = FINAL) -> dict[str, Any]:
        """The run as soon as the type of its state is one of `states`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.run(run)
            if found["state_type"] in states:
                return found
            time.sleep(0.5)
        raise AssertionError(f"flow run {run} is still {found['state']}")

    def resume(self, run: str, **given: Any) -> None:
        """What the form of the UI's Resume button sends."""
        answer = self.post(f"/flow_runs/{run}/resume", run_input=given)
        assert answer["status"] == "ACCEPT", answer

    def shown_in_the_form(self, run: str, key: str) -> str:
        """The text above the form of a pause."""
        found = self.post(f"/flow_runs/{run}/input/filter", prefix=f"paused-{key}", limit=200)
        [text] = [each["value"] for each in found if each["key"].endswith("-description")]
        return json.loads(text)

    def states(self, run: str) -> list[str]:
        """Names of all states that a run had."""
        found = httpx.get(f"{self.url}/flow_run_states/", params={"flow_run_id": run}, timeout=30).json()
        return [state["name"] for state in found]

    def retry(self, run: str) -> None:
        """What the UI's Retry button does."""
        state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}
        answer = self.post(f"/flow_runs/{run}/set_state", state=state, force=True)
        assert answer["status"] == "ACCEPT", answer
