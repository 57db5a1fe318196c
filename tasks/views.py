"""The part of the configuration that a stage reads, as an object and as JSON for its cache key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from configs.schema import FactoryConfig

M = TypeVar("M", bound=BaseModel)
Tree = dict[str, Any]
PLAYED = tuple(
    f"policy.{name}" for name in ("prompt", "max_turn_tokens", "engine", "arguments", "stop", "constrain")
)
"""The settings that decide what a policy writes, beside its checkpoint."""


def view(config: FactoryConfig, fields: Sequence[str]) -> FactoryConfig:
    """The configuration with only the given fields ("seed", "policy.prompt"). Reading any other one raises
    AttributeError, so a stage cannot depend on a setting that is not in its cache key."""
    return _pruned(config, _tree(fields))


def settings(config: FactoryConfig, fields: Sequence[str]) -> dict[str, Any]:
    """The same part as JSON values."""
    return _picked(config.model_dump(mode="json"), _tree(fields))


def outcome_settings(config: FactoryConfig) -> dict[str, Any]:
    """All settings that decide what comes out, as JSON: what the id of a run stands for."""
    return config.model_dump(mode="json", exclude={"name", "data_dir", "budget", "execution"})


def _tree(fields: Sequence[str]) -> Tree:
    tree: Tree = {}
    for field in fields:
        here = tree
        for part in field.split("."):
            here = here.setdefault(part, {})
    return tree


def _pruned(model: M, tree: Tree) -> M:
    copy = model.model_copy()
    for name, value in list(copy.__dict__.items()):
        if name not in tree:
            del copy.__dict__[name]
        elif tree[name]:
            copy.__dict__[name] = _pruned(value, tree[name])
    return copy


def _picked(values: dict[str, Any], tree: Tree) -> dict[str, Any]:
    return {name: _picked(values[name], below) if below else values[name] for name, below in tree.items()}
