"""The short form of a configuration: the settings that people change most, by the names that a form gives them.

Prefect makes a form from the parameters of the flow `factory`. A form with every setting would be many screens long, so
it has these fields and a list of changes, `a.b=value`, which may name any other setting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from configs.faults import ConfigFault
from configs.form_fields import FIELDS
from configs.load import apply, check, given_by, read_yaml, refuse_comparison, schema_at
from configs.rules import refuse_conflicts
from configs.schema import FactoryConfig


def field_schema(field: str) -> dict[str, Any]:
    """The JSON schema of a field, from the schema of its setting, whose name is the title. An optional setting is left
    empty where it has no value, so that null is no choice of its own."""
    name = FIELDS[field]
    found = dict(schema_at(name.split("."), _schema()))
    for option in found.pop("anyOf", ()):
        if option.get("type") != "null":
            found |= option
    found.pop("default", None)
    return found | {"title": name}


def values_of(config: FactoryConfig) -> dict[str, Any]:
    """The values of the form's fields in a configuration, without those that are empty."""
    settings = config.model_dump(mode="json")
    values = {field: _at(settings, name) for field, name in FIELDS.items()}
    return {field: value for field, value in values.items() if value is not None}


def from_form(
    source: FactoryConfig | Path | str,
    values: Mapping[str, Any],
    changes: Sequence[str] = (),
    data_dir: Path | str | None = None,
) -> FactoryConfig:
    """A configuration, or that of a file, with the values of form fields (None: as it is there) and with changes laid
    over it. Raises ConfigFault, with the same messages as for a file."""
    given = isinstance(source, FactoryConfig)
    settings = source.model_dump() if isinstance(source, FactoryConfig) else read_yaml(Path(source))
    if not given:
        refuse_comparison(settings, str(source))
    fields = {FIELDS[field]: value for field, value in values.items() if value is not None}
    _refuse_both(fields, changes)
    for change in changes:
        apply(settings, change, "changes:")
    for name, value in fields.items():
        _put(settings, name, value)
    if data_dir is not None:
        settings["data_dir"] = str(data_dir)
    where = "configuration" if given else str(source)
    config = check(settings, where, given_by(changes, "changes"))
    refuse_conflicts(config, where)
    return config


def _refuse_both(fields: Mapping[str, Any], changes: Sequence[str]) -> None:
    """A change of a setting that the form has a field for would be ignored."""
    for change in changes:
        changed = change.partition("=")[0].strip()
        for name in fields:
            if name == changed or name.startswith(f"{changed}."):
                [field] = [each for each, setting in FIELDS.items() if setting == name]
                raise ConfigFault(
                    f"changes: {change} would be ignored, because the form has the field {field} for {name}: set it "
                    "there"
                )


@cache
def _schema() -> dict[str, Any]:
    return FactoryConfig.model_json_schema()


def _at(settings: Mapping[str, Any], name: str) -> Any:
    here: Any = settings
    for part in name.split("."):
        here = here[part]
    return here


def _put(settings: dict[str, Any], name: str, value: Any) -> None:
    *path, last = name.split(".")
    for part in path:
        settings = settings.setdefault(part, {})
    settings[last] = value
