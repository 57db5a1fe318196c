"""Every stage is a flow of its name, and Prefect's form describes each of its parameters."""

from __future__ import annotations

import pytest
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from configs.stages import BEFORE_ROUNDS, STAGES
from flows.stages import STAGE_FLOWS
from flows.work.chain import CHAIN
from tests.support.tiny_factory import ROOT


def test_flows_and_their_work_are_the_stages_in_order() -> None:
    assert tuple(STAGE_FLOWS) == tuple(CHAIN) == STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_the_form_describes_every_parameter(stage: str) -> None:
    about = {
        name: field.get("description")
        for name, field in parameter_schema(STAGE_FLOWS[stage]).properties.items()
    }
    fields = ["run", "round", "force", "following", "changes", "data_dir"]
    assert list(about) == [field for field in fields if field != "round" or stage not in BEFORE_ROUNDS]
    assert all(about.values())
    assert len({STAGE_FLOWS[each].description for each in STAGES}) == len(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_prefect_finds_the_flow_by_its_entrypoint(stage: str) -> None:
    assert load_flow_from_entrypoint(f"{ROOT / 'flows/stages.py'}:{stage}").name == stage
