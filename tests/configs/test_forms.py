"""The short form of a configuration: what it offers, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from configs.faults import ConfigFault
from configs.forms import FIELDS, field_schema, from_form, values_of
from configs.schema import FactoryConfig
from tests.support.tiny_factory import TINY, tiny


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_is_its_setting(field: str) -> None:
    schema = field_schema(field)
    assert schema["title"] == FIELDS[field]
    assert schema["type"] in ("integer", "number", "string")
    assert "anyOf" not in schema
    assert "default" not in schema
    assert schema["description"]


def test_the_values_of_a_file_give_the_file_again(tmp_path: Path) -> None:
    config = tiny(tmp_path)
    assert values_of(config)["threshold"] == 0.5
    assert "budget_rollouts" not in values_of(config)
    assert from_form(TINY, values_of(config), data_dir=tmp_path) == config
    assert from_form(TINY, {}, data_dir=tmp_path) == config


def test_fields_and_changes_are_laid_over_the_file(tmp_path: Path) -> None:
    made = from_form(TINY, {"seen": 7, "budget_minutes": 1.5, "seed": None}, ["rewards.rollouts=4"], tmp_path)
    assert made == tiny(tmp_path, "tasks.seen=7", "budget.minutes=1.5", "rewards.rollouts=4")


def test_they_are_laid_over_a_configuration_too(tmp_path: Path) -> None:
    config = tiny(tmp_path)
    assert from_form(config, {}) == config
    assert from_form(config, {"seed": 4}) == config.model_copy(update={"seed": 4})


@pytest.mark.parametrize(
    ("values", "changes", "said"),
    [
        ({"rounds": 0}, [], "rounds: got 0; allowed: a whole number >= 1"),
        ({"threshold": 3}, [], "deviation.delta: got 3; allowed: a number >= -1 and <= 1"),
        ({"preset": "papers"}, [], "deviation.preset: got 'papers'; allowed: one of paper,"),
        ({}, ["rewards.rollots=3"], "unknown field rewards.rollots; did you mean rewards.rollouts?"),
        ({}, ["rewards"], "changes: rewards: write it as field=value"),
        ({"preset": "sequential", "mode": "curtailed"}, [], "rewards.mode is curtailed"),
        ({"seen": 0}, [], "evaluation.splits lists seen, but tasks.seen is 0"),
        ({"seen": 3}, ["tasks.seen=4"], "the form has the field seen for tasks.seen"),
        ({"seen": 3}, ["tasks={seen: 4}"], "the form has the field seen for tasks.seen"),
    ],
)
def test_what_cannot_be_is_refused_as_in_a_file(
    values: dict[str, Any], changes: list[str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigFault) as refused:
        from_form(TINY, values, changes, tmp_path)
    assert said in str(refused.value)


def test_a_field_left_empty_leaves_its_setting_to_the_changes(tmp_path: Path) -> None:
    made = from_form(TINY, {"seen": None}, ["tasks.seen=4"], tmp_path)
    assert made.tasks.seen == 4


def test_a_comparison_file_is_no_configuration() -> None:
    file = Path(__file__).parents[2] / "configs" / "compare" / "quickstart.yaml"
    with pytest.raises(ConfigFault, match="is a comparison file"):
        from_form(file, {})


def test_every_field_is_a_parameter_of_the_factory() -> None:
    from flows.factory import factory

    assert FIELDS.keys() < factory.parameters.properties.keys()
    assert FactoryConfig().model_dump().keys() > {name.split(".")[0] for name in FIELDS.values()}
