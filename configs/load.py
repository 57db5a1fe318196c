"""From a YAML file and `a.b=value` overrides to a validated FactoryConfig, or to one line per problem."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from configs.faults import ConfigFault
from configs.form_fields import FIELDS
from configs.nesting import nests_deeper
from configs.rules import refuse_conflicts
from configs.schema import FactoryConfig

M = TypeVar("M", bound=BaseModel)
MOST_VALUES = 100_000
"""In a configuration, aliases resolved."""
MOST_NESTED = 100
"""Lists in lists of a configuration; PyYAML takes seconds for a thousand."""
NOTHING: Mapping[str, str] = MappingProxyType({})


def load_config(path: Path | str | None, overrides: Sequence[str] = ()) -> FactoryConfig:
    """The configuration of a file (None: all defaults) with overrides such as "rewards.rollouts=8".
    Raises ConfigFault."""
    settings = read_yaml(Path(path)) if path is not None else {}
    refuse_comparison(settings, str(path))
    for override in overrides:
        apply(settings, override)
    source = str(path) if path is not None else "configuration"
    config = check(settings, source, given_by(overrides, "--set"))
    refuse_conflicts(config, source)
    return config


def given_by(changes: Sequence[str], option: str) -> dict[str, str]:
    """By the name of each changed setting, the option that gave it: where its problems come from. Not its value, which
    may be a key."""
    return {change.partition("=")[0].strip(): option for change in changes}


def refuse_comparison(settings: Mapping[str, Any], source: str) -> None:
    """Raises ConfigFault if settings are those of a comparison."""
    if {"arms", "config"} <= settings.keys():
        raise ConfigFault(f"{source}: is a comparison file: use `steca compare {source}`")


def check(settings: Mapping[str, Any], source: str, given: Mapping[str, str] = NOTHING) -> FactoryConfig:
    """Settings as a FactoryConfig. Raises ConfigFault, whose lines start with `source` (usually the file), or with what
    `given` says of a changed setting."""
    return validated(FactoryConfig, settings, source, given)


def validated(
    model: type[M], settings: Mapping[str, Any], source: str, given: Mapping[str, str] = NOTHING
) -> M:
    """Settings as a model: a FactoryConfig, or another one that a user writes in YAML. Raises ConfigFault."""
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        schema = _schema_of(model)
        lines = [
            f"{_origin(problem['loc'], given) or source}: {_line(problem, schema)}"
            for problem in error.errors(include_url=False)
        ]
        raise ConfigFault("\n".join(lines)) from None


@cache
def _schema_of(model: type[BaseModel]) -> Mapping[str, Any]:
    """Takes longer than all else that a problem needs."""
    return model.model_json_schema()


def _origin(location: Sequence[Any], given: Mapping[str, str]) -> str | None:
    """Which change gave the setting at a location, or a section around it."""
    places = [".".join(map(str, location[:end])) for end in range(len(location), 0, -1)]
    return next((given[place] for place in places if place in given), None)


def apply(settings: dict[str, Any], text: str, option: str = "--set") -> None:
    """Apply an override such as "rewards.rollouts=8" to settings. `option`: where it was given. Raises ConfigFault."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ConfigFault(f"{option} {text}: write it as field=value, e.g. {option} rewards.rollouts=8")
    try:
        parsed = _parsed(value, yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigFault(f"{option} {text}: {_yaml_problem(error)}") from None
    *path, last = name.strip().split(".")
    here = settings
    for part in path:
        below = here.setdefault(part, {})
        if not isinstance(below, dict):
            raise ConfigFault(f"{option} {text}: {part} is a value, not a section with fields")
        here = below
    here[last] = parsed


def lay_over(settings: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Replace the values in nested settings by those of `changes`; what `changes` does not name stays."""
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(settings.get(name), dict):
            lay_over(settings[name], value)
        else:
            settings[name] = value


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises ConfigFault with file, line and column of the problem."""
    try:
        settings = _parsed(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise ConfigFault(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigFault(f"{path}: is not UTF-8 text") from None
    except yaml.YAMLError as error:
        raise ConfigFault(f"{path}{_place(error)}: {_yaml_problem(error)}") from None
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise ConfigFault(f"{path}: must hold fields (name: value), not a {type(settings).__name__}")
    return settings


def _parsed(text: str, loader: type[yaml.SafeLoader]) -> Any:
    """The value of a YAML text. Raises yaml.YAMLError, also for what PyYAML stumbles over: values that are not of the
    type that their tag says, and texts that nest too deeply, hold themselves, or are small and name a huge value."""
    if nests_deeper(text, MOST_NESTED):
        raise yaml.YAMLError("it is nested too deeply")
    try:
        value = yaml.load(text, Loader=loader)
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, IndexError) as error:
        raise yaml.YAMLError(f"a value is not of its type ({' '.join(str(error).split())})") from None
    waiting, seen = [value], 0
    while waiting:
        here = waiting.pop()
        inner = (
            list(here.values()) if isinstance(here, dict) else here if isinstance(here, list | tuple) else ()
        )
        seen += len(inner)
        if seen > MOST_VALUES:
            raise yaml.YAMLError(f"with its aliases (*name) it has more than {MOST_VALUES:,} values")
        waiting += inner
    return value


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses duplicate keys, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    problem="a list or section is no name of a field", problem_mark=key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"field {key!r} is given twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _place(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""


def _yaml_problem(error: yaml.YAMLError) -> str:
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"broken YAML: {problem}"


def _line(problem: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """One of pydantic's problems as `field: got value; allowed: range`."""
    location = tuple(problem["loc"])
    name = ".".join(str(part) for part in location)
    if problem["type"] == "extra_forbidden":
        return f"unknown field {name}{_nearest(location, schema)}"
    if problem["type"] == "value_error":
        return f"{name}: {problem['ctx']['error']}" if name else str(problem["ctx"]["error"])
    if problem["type"] == "missing":
        return f"{name}: is missing; allowed: {allowed_values(schema_at(location, schema))}"
    got = (
        "a value not shown here, as it may hold a key" if _may_be_secret(location) else repr(problem["input"])
    )
    return f"{name}: got {got}; allowed: {allowed_values(schema_at(location, schema))}"


def _may_be_secret(location: Sequence[Any]) -> bool:
    return bool({"key_env", "key_secret", "base_urls", "arguments", "command"} & set(location))


def _nearest(location: Sequence[Any], schema: Mapping[str, Any]) -> str:
    """What may have been meant: a field of this name in another section, else a similar one in the same section."""
    known = sorted(schema_at(location[:-1], schema).get("properties", {}))
    name, section = str(location[-1]), ".".join(map(str, location[:-1]))
    close = difflib.get_close_matches(name, known, n=1)
    if meant := _elsewhere(name, schema) or [f"{section}.{one}" if section else one for one in close]:
        return f"; did you mean {' or '.join(meant)}?"
    return f"; known{' in ' + section if section else ''}: {', '.join(known)}"


def _elsewhere(name: str, schema: Mapping[str, Any]) -> list[str]:
    """The fields of this name in sections at the top; for a field of the form, the setting that it stands for."""
    sections = schema.get("properties", {})
    fields = [f"{one}.{name}" for one in sections if name in schema_at((one,), schema).get("properties", {})]
    section, _, setting = FIELDS.get(name, "").partition(".")
    if setting in schema_at((section,), schema).get("properties", {}):
        fields.append(f"{section}.{setting}")
    return sorted(set(fields))


def schema_at(location: Sequence[Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The JSON schema of the field at a location of a model's schema; {} where there is none."""
    here = schema
    for part in location:
        here = here.get("items", {}) if isinstance(part, int) else here.get("properties", {}).get(part, {})
        while reference := here.get("$ref"):
            here = schema["$defs"][reference.rsplit("/", 1)[1]]
    return here


_BOUNDS = (("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="), ("exclusiveMaximum", "<"))


def allowed_values(schema: Mapping[str, Any]) -> str:
    """A field's JSON schema in words: its choices, or its type and range."""
    if "anyOf" in schema:
        return " or ".join(allowed_values(option) for option in schema["anyOf"])
    if choices := schema.get("enum") or ([schema["const"]] if "const" in schema else None):
        return "one of " + ", ".join(str(choice) for choice in choices)
    bounds = [f"{sign} {schema[key]}" for key, sign in _BOUNDS if key in schema]
    pattern = [f"matching {schema['pattern']}"] if "pattern" in schema else []
    kind = _TYPES.get(schema.get("type", ""), "a value")
    return " ".join(part for part in (kind, " and ".join(bounds), *pattern) if part)


_TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "text",
    "array": "a list",
    "object": "a section with fields",
    "null": "empty",
}
