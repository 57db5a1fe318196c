"""The few calls of Prefect's UI that the tests need."""

from __future__ import annotations

import time
from typing import Any

import httpx

FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


class Api:
    """`url`: the address of the API, such as http://127.0.0.1:4200/api."""

    def __init__(self, url: str) -> None:
        self.url = url

    def post(self, path: str, **body: Any) -> Any:
        return self.post_body(path, body)

    def post_body(self, path: str, body: Any) -> Any:
        """Tries again while the server answers 503, as Prefect's client does: its database is busy."""
        for _ in range(40):
            answer = httpx.post(f"{self.url}{path}", json=body, timeout=30)
            if answer.status_code != 503:
                break
            time.sleep(0.5)
        assert answer.is_success, answer.text
        return answer.json()

    def get(self, path: str) -> Any:
        answer = httpx.get(f"{self.url}{path}", timeout=30)
        assert answer.is_success, answer.text
        return answer.json()

    def change(self, path: str, **body: Any) -> None:
        answer = httpx.patch(f"{self.url}{path}", json=body, timeout=30)
        assert answer.is_success, answer.text

    def deployments(self) -> dict[str, dict[str, Any]]:
        """By flow name, which is the entrypoint's function."""
        return {one["entrypoint"].split(":")[1]: one for one in self.post("/deployments/filter")}

    def start(self, flow: str, **parameters: Any) -> str:
        deployment = self.deployments()[flow]["id"]
        return self.post(f"/deployments/{deployment}/create_flow_run", parameters=parameters)["id"]

    def wait(self, run: str, seconds: float = 240) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.get(f"/flow_runs/{run}")
            if found["state_type"] in FINAL:
                return found
            time.sleep(0.5)
        raise AssertionError(f"flow run {run} did not end: {found['state']}")

    def state_if_reachable(self, run: str) -> str | None:
        """The type of a flow run's state; None while the server is away or starts."""
        try:
            return str(self.get(f"/flow_runs/{run}")["state_type"])
        except (httpx.TransportError, AssertionError):
            return None

    def retry(self, run: str) -> None:
        """What the UI's Retry button does."""
        state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}
        answer = self.post(f"/flow_runs/{run}/set_state", state=state, force=True)
        assert answer["status"] == "ACCEPT", answer
