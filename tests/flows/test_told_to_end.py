"""What fails in a run that a person has stopped is filed as stopped: its servers are ended with it, and then fail."""

from __future__ import annotations

from uuid import uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.states import Cancelling, Paused, Running, State

from configs.schema import FactoryConfig
from flows.factory import factory
from flows.faults import StageFault
from flows.runs.run import folder_of, run_id
from flows.server.flow_run_process import told_to_end
from flows.server.flow_run_states import FLOW_RUN_VARIABLE
from flows.stage_run import stage_run
from storage.runs import StageState


def flow_run_in(state: State[None]) -> str:
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(factory, parameters={"config": "none"}, state=Running())
        client.set_flow_run_state(run.id, state, force=True)
    return str(run.id)


def fail(config: FactoryConfig) -> StageState | None:
    with pytest.raises(StageFault), stage_run("demonstrate", config, run_id(config), 1, force=False):
        raise StageFault("the server of the policy has ended")
    return folder_of(config).stage(0, "demonstrate")


@pytest.mark.parametrize("state", [Cancelling(), Paused(name="Suspended")], ids=lambda state: state.name)
def test_a_fault_in_a_stopped_run_is_its_end_from_outside(
    state: State[None], copied: FactoryConfig, prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FLOW_RUN_VARIABLE, flow_run_in(state))
    found = fail(copied)
    assert found
    assert (found.status, "goes on where it stopped" in str(found.error)) == ("crashed", True)


def test_a_fault_in_a_run_that_goes_on_is_a_failure(
    copied: FactoryConfig, prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FLOW_RUN_VARIABLE, flow_run_in(Running()))
    found = fail(copied)
    assert found
    assert (found.status, found.error) == ("failed", "the server of the policy has ended")


def test_nobody_told_a_run_that_the_server_does_not_know(
    prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FLOW_RUN_VARIABLE, str(uuid4()))
    assert not told_to_end()
    monkeypatch.delenv(FLOW_RUN_VARIABLE)
    assert not told_to_end()
