"""The UIs send what a form shows. For a field whose default is null they send null, which the server refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.deployments.approval import Approval
from flows.deployments.form import form_of, without_null
from flows.deployments.offered import Offer, offers
from tests.conftest import offered_configs


@pytest.fixture
def offered(tmp_path: Path) -> list[Offer]:
    return offers(tmp_path / "data", offered_configs(tmp_path / "configs"))[0]


def test_no_field_of_a_form_begins_with_null(offered: list[Offer]) -> None:
    assert len(offered) >= 9
    for offer in offered:
        form = form_of(offer.flow, offer.defaults, offer.choices)
        assert [name for name, field in form.properties.items() if field.get("default", ...) is None] == []
    asked: dict[str, Any] = Approval.with_initial_data(description="text").model_json_schema()["properties"]
    assert {"decision", "budget_rollouts", "budget_minutes"} == asked.keys()
    assert [name for name, field in asked.items() if field.get("default", ...) is None] == []


def test_only_the_default_null_is_taken_away() -> None:
    fields: list[dict[str, Any]] = [{"default": None}, {"default": 0}, {"default": []}, {}]
    for field in fields:
        without_null(field)
    assert fields == [{}, {"default": 0}, {"default": []}, {}]


def test_the_form_says_which_modes_a_preset_allows(offered: list[Offer]) -> None:
    """What the server says of a mode that is excluded does not name the preset."""
    factory = next(offer for offer in offered if offer.flow.name == "factory")
    mode = form_of(factory.flow, factory.defaults, factory.choices).properties["mode"]
    assert mode["description"].endswith(
        " Preset paper: fixed or curtailed. Preset release: fixed or curtailed. Preset sequential: fixed or sequential."
    )
    [rewards] = [offer for offer in offered if offer.name == "rerun-rewards"]
    assert "mode" not in form_of(rewards.flow, rewards.defaults, rewards.choices).properties


def test_a_field_with_choices_is_a_list_and_asks_for_no_type(offered: list[Offer]) -> None:
    """The UIs show a list for an `enum` at the field itself; beside `anyOf` they show a choice of types instead."""
    listed = {offer.name for offer in offered if offer.choices}
    assert {"compare", "rerun-rewards"} <= listed
    for offer in offered:
        fields = form_of(offer.flow, offer.defaults, offer.choices).properties
        for name, choices in offer.choices.items():
            assert fields[name]["enum"] == choices
            assert fields[name]["default"] in choices
            assert fields[name]["type"] == "string"
        assert [name for name in fields if "anyOf" in fields[name] and name != "seed"] == []
