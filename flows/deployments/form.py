"""The forms of deployments: the JSON schemas of their flows' parameters, with the values that a form begins with.

The default of each parameter is in the schema as well. So a value that a person has edited in the UI can be told from
one that was only registered: see `flows.deployments.registering`.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from prefect.utilities.callables import ParameterSchema
from pydantic import Field, ValidationError

from configs.forms import field_schema
from configs.schema import FactoryConfig

if TYPE_CHECKING:
    from prefect import Flow


LAST = ("config", "data_dir")
"""Parameters at the end of a form: people seldom change them."""


class FormSchema(ParameterSchema):
    """The schema of a form. `allOf`: what its fields exclude in each other. The server checks that, and refuses unknown
    fields, before a run exists."""

    additionalProperties: bool = False  # noqa: N815
    allOf: list[dict[str, Any]] = Field(default_factory=list)  # noqa: N815  JSON schema's name


def form_of(
    flow: Flow[..., Any], defaults: Mapping[str, Any], choices: Mapping[str, list[str]]
) -> FormSchema:
    """The form of a flow. `defaults`: what its fields begin with; `choices`: what some of them offer."""
    known = flow.parameters
    properties = deepcopy(known.properties)
    for name, field in properties.items():
        if name in LAST:
            field["position"] += len(properties)
        if name in defaults:
            field["default"] = defaults[name]
        without_null(field)
        if name in choices:
            field["enum"] = choices[name]
    more: dict[str, Any] = {}
    if MODES and {"preset", "mode"} <= properties.keys():
        more["allOf"] = MODES  # left unset it is not sent: an empty one is no valid schema
        properties["mode"]["description"] += _in_words(MODES)  # the server's refusal does not name the preset
    return FormSchema(**known.model_dump() | {"properties": properties, "additionalProperties": False} | more)


def without_null(field: dict[str, Any]) -> None:
    """Take the default null from the schema of a field. The UIs would send it for the empty field, and the server would
    refuse it, because the type of the field is another."""
    if field.get("default", ...) is None:
        del field["default"]


def _in_words(modes: list[dict[str, Any]]) -> str:
    """What each preset with a choice of modes allows."""
    return "".join(
        f" Preset {one['if']['properties']['preset']['const']}: "
        f"{' or '.join(one['then']['properties']['mode']['enum'])}."
        for one in modes
    )


def _modes_of_presets() -> list[dict[str, Any]]:
    """For each preset that does not allow every mode, the modes that it allows."""
    modes: list[str] = field_schema("mode")["enum"]
    conditions = []
    for preset in field_schema("preset")["enum"]:
        allowed = [mode for mode in modes if _go_together(preset, mode)]
        if allowed != modes:
            when = {"properties": {"preset": {"const": preset}}, "required": ["preset", "mode"]}
            conditions.append({"if": when, "then": {"properties": {"mode": {"enum": allowed}}}})
    return conditions


def _go_together(preset: str, mode: str) -> bool:
    try:
        FactoryConfig.model_validate({"deviation": {"preset": preset}, "rewards": {"mode": mode}})
    except ValidationError:
        return False
    return True


MODES = _modes_of_presets()
