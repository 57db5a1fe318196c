"""What the tests of the started services ask of the Prefect server, beyond what a person does in its UI."""

from __future__ import annotations

from typing import Any

import httpx

from tests.support.prefect_api import Api


class ServerApi(Api):
    def get(self, path: str) -> Any:
        return self._send("GET", path)

    def change(self, path: str, **body: Any) -> None:
        self._send("PATCH", path, body)

    def add(self, path: str, *bodies: Any) -> None:
        self._send("POST", path, list(bodies))

    def state_if_reachable(self, run: str) -> str | None:
        """The type of a flow run's state; None while the server is away or starts."""
        try:
            return str(self.get(f"/flow_runs/{run}")["state_type"])
        except httpx.HTTPError:
            return None

    def _send(self, method: str, path: str, body: Any = None) -> Any:
        answer = httpx.request(method, f"{self.url}{path}", json=body, timeout=30)
        answer.raise_for_status()
        return answer.json() if answer.content else None
