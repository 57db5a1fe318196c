"""Every setting of a run, from the pydantic models in configs/: what it may be, its default and its meaning."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from configs.form_fields import FIELDS
from configs.load import allowed_values
from configs.schema import FactoryConfig
from docs.tools.markdown import code, table, text

Schema = dict[str, Any]
SCHEMA: Schema = FactoryConfig.model_json_schema()
HEAD = """# Settings

Every setting: what it may be, its default, and what it means. A name such as `rewards.rollouts` is what `--set` takes.
In a YAML file, each part before a dot is a section. [configuration.md](../configuration.md) says how files are written,
what makes a new run, and which configurations are shipped.

A default of – means that the setting is empty. *Form:* names the field for it in the form of the Prefect UI that starts
a run.
"""
FIELD_OF = {setting: field for field, setting in FIELDS.items()}


class Section(NamedTuple):
    """A section: its dotted name (empty for the whole), its schema, and whether it may be missing."""

    name: str
    schema: Schema
    optional: bool = False

    def settings(self) -> dict[str, Schema]:
        """Its own settings by their dotted names, sections that are always there left out."""
        return {self._dotted(name): field for name, field in self._entries().items() if "$ref" not in field}

    def sections(self) -> Iterator[Section]:
        """The sections in it. The values of a map are called NAME."""
        for name, field in self._entries().items():
            of_map = field.get("additionalProperties") or {}
            optional = next((option for option in field.get("anyOf", ()) if "$ref" in option), None)
            if reference := (optional or field).get("$ref") or (of_map is not True and of_map.get("$ref")):
                inner = SCHEMA["$defs"][reference.rsplit("/", 1)[-1]]
                yield Section(self._dotted(f"{name}.NAME" if of_map else name), inner, optional is not None)

    def _entries(self) -> dict[str, Schema]:
        return dict(self.schema["properties"])

    def _dotted(self, name: str) -> str:
        return f"{self.name}.{name}" if self.name else name


def all_sections(section: Section | None = None) -> Iterator[Section]:
    """A section, or the whole, and all in it, each before those inside."""
    section = section or Section("", SCHEMA)
    yield section
    for inner in section.sections():
        yield from all_sections(inner)


def all_settings() -> dict[str, Schema]:
    """Every setting's JSON schema, by its dotted name."""
    return {name: field for section in all_sections() for name, field in section.settings().items()}


def settings_page() -> str:
    """The page: a table for each section."""
    return "\n".join([HEAD, *map(_part, all_sections())])


def _part(section: Section) -> str:
    heading = f"`{section.name}`" if section.name else "The run"
    about = text(section.schema.get("description", ""))
    empty = " May be left out as a whole." if section.optional else ""
    rows = [_row(name, field, section) for name, field in section.settings().items()]
    settings = table(("setting", "may be", "default", "meaning"), rows) + "\n" if rows else ""
    return f"## {heading}\n\n{about}{empty}\n\n{settings}"


def _row(name: str, field: Schema, section: Section) -> tuple[str, ...]:
    form = f" *Form:* {code(FIELD_OF[name])}." if name in FIELD_OF else ""
    required = name.rpartition(".")[2] in section.schema.get("required", ())
    return code(name), allowed(field), _default(field, required), text(field.get("description", "")) + form


def allowed(field: Schema) -> str:
    """What a field may be, as the messages about wrong values say it. Empty is said by its default."""
    options = [option for option in field.get("anyOf", [field]) if option.get("type") != "null"]
    if any("$ref" in option for option in options):
        return "a section, below"
    choices = [choice for option in options for choice in option.get("enum", ())]
    words = ", ".join(map(code, choices)) or " or ".join(map(allowed_values, options))
    return words if choices else text(words)


def _default(field: Schema, required: bool) -> str:
    if required:
        return "must be given"
    default = field.get("default")
    if default in (None, "", [], {}):
        return "–"
    return code(default if isinstance(default, str) else json.dumps(default))
