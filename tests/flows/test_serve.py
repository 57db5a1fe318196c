"""Scheduling through a real Prefect server, as the UI does it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from configs.schema import FactoryConfig
from configs.stages import STAGES
from flows.runs import run_id
from steca.deviation import PRESETS
from storage.runs import RunFolder
from storage.store import Store
from tests.support.tiny_factory import ROOT, Served, tiny

FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


class Api:
    """The few calls of the UI that the tests need."""

    def __init__(self, url: str) -> None:
        self._url = url

    def post(self, path: str, **body: Any) -> Any:
        """Tries again while the server answers 503, as Prefect's client does: its database is busy."""
        for _ in range(40):
            answer = httpx.post(f"{self._url}{path}", json=body, timeout=30)
            if answer.status_code != 503:
                break
            time.sleep(0.5)
        assert answer.is_success, answer.text
        return answer.json()

    def deployments(self) -> dict[str, dict[str, Any]]:
        """By flow name, which is the entrypoint's function."""
        return {one["entrypoint"].split(":")[1]: one for one in self.post("/deployments/filter")}

    def start(self, flow: str, **parameters: Any) -> str:
        deployment = self.deployments()[flow]["id"]
        return self.post(f"/deployments/{deployment}/create_flow_run", parameters=parameters)["id"]

    def wait(self, run: str, seconds: float = 240) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = httpx.get(f"{self._url}/flow_runs/{run}", timeout=30).json()
            if found["state_type"] in FINAL:
                return found
            time.sleep(0.5)
        raise AssertionError(f"flow run {run} did not end: {found['state']}")

    def retry(self, run: str) -> None:
        """What the UI's Retry button does."""
        state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}
        answer = self.post(f"/flow_runs/{run}/set_state", state=state, force=True)
        assert answer["status"] == "ACCEPT", answer


@pytest.fixture(scope="module")
def api(served: Served) -> Api:
    return Api(served.api)


def parameters(config: FactoryConfig) -> dict[str, Any]:
    return {"config": config.model_dump(mode="json")}


def test_every_stage_and_the_factory_are_offered_with_a_form(api: Api, served: Served) -> None:
    offered = api.deployments()
    assert set(offered) == {"factory", *STAGES, "compare"}
    form = offered["factory"]["parameter_openapi_schema"]
    deviation = form["definitions"]["DeviationConfig"]
    assert deviation["title"] == "Deviation"
    assert set(deviation["properties"]["preset"]["enum"]) == set(PRESETS)
    assert "first deviation only" in deviation["properties"]["preset"]["description"]
    assert deviation["properties"]["delta"]["maximum"] == 1
    assert offered["factory"]["parameters"]["config"]["data_dir"] == str(served.data_dir)
    assert {"run", "round", "force"} < set(offered["rewards"]["parameter_openapi_schema"]["properties"])
    asked = offered["compare"]["parameter_openapi_schema"]["properties"]
    assert set(asked) == {"file", "arms", "seeds", "data_dir"}
    assert offered["compare"]["parameters"]["data_dir"] == str(served.data_dir)


def test_a_form_with_an_unknown_field_is_refused(api: Api) -> None:
    deployment = api.deployments()["factory"]["id"]
    bad = {"config": {"rewards": {"rollots": 3}}}
    answer = httpx.post(f"{api._url}/deployments/{deployment}/create_flow_run", json={"parameters": bad})
    assert answer.status_code == 409
    assert "rollots" in answer.text


def test_a_failed_run_is_retried_and_its_finished_batches_come_from_the_cache(
    api: Api, tmp_path: Path
) -> None:
    config = tiny(tmp_path / "data")
    obstacle = config.data_dir / "checkpoints"
    config.data_dir.mkdir()
    obstacle.write_text("in the way of the checkpoints\n")
    run = api.start("factory", **parameters(config))
    failed = api.wait(run)
    assert failed["state_type"] == "FAILED"
    assert "cannot write a checkpoint" in failed["state"]["message"]
    folder = RunFolder(config.data_dir, run_id(config))
    before = {state.stage: state for state in folder.stages()}
    assert {stage: state.status for stage, state in before.items()} == {
        "demonstrate": "completed", "warmup": "failed",
    }  # fmt: skip

    obstacle.unlink()
    api.retry(run)
    assert api.wait(run)["state_type"] == "COMPLETED"
    after = {state.stage: state for state in folder.stages()}
    assert {stage: state.status for stage, state in after.items()} == dict.fromkeys(STAGES, "completed")
    assert after["demonstrate"].cached_batches == len(after["demonstrate"].batches)
    assert after["demonstrate"].batches == before["demonstrate"].batches
    _, rows = Store(config.data_dir).query("SELECT run_id, evaluations > 0, rollouts > 0 FROM run_summary")
    assert rows == [(run_id(config), True, True)]


def test_prefect_yaml_names_flows_that_exist() -> None:
    import yaml
    from prefect.flows import load_flow_from_entrypoint

    described = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    entrypoints = [one["entrypoint"] for one in described["deployments"]]
    assert [load_flow_from_entrypoint(str(ROOT / e)).name for e in entrypoints] == [
        "factory",
        *STAGES,
        "compare",
    ]
