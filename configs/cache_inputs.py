"""Parts of the configuration: what a stage reads, what decides a policy's turns, what the id of a run stands for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from configs.schema import FactoryConfig

M = TypeVar("M", bound=BaseModel)
Tree = dict[str, Any]
PLAYED = tuple(
    f"policy.{name}"
    for name in (
        *("prompt", "max_turn_tokens", "engine", "arguments", "stop", "constrain"),
        *("thinking", "max_thinking_tokens"),
    )
)
"""The settings that decide what a policy writes, beside its checkpoint: in the key of every stage that plays, and in
the id of every rollout (`played`)."""
SERVED = frozenset(f"policy.{name}" for name in ("engine", "arguments", "stop", "constrain"))
"""Of these, the ones that only a served policy has."""
ADDED: dict[str, Any] = {"policy.thinking": "off", "policy.max_thinking_tokens": 1024}
"""Settings that came after 0.3.0, each with the value that stands for what was done before. With that value they are
left out of cache keys and ids, so that runs and rollouts of older versions keep theirs."""


def view(config: FactoryConfig, fields: Sequence[str]) -> FactoryConfig:
    """The configuration with only the given fields ("seed", "policy.prompt"). Reading any other one raises
    AttributeError, so a stage cannot depend on a setting that is not in its cache key."""
    return _pruned(config, _tree(fields))


def settings(config: FactoryConfig, fields: Sequence[str]) -> dict[str, Any]:
    """The same part as JSON values."""
    return _picked(_as_before(config.model_dump(mode="json")), _tree(fields))


def played(config: FactoryConfig) -> dict[str, Any]:
    """What decides a policy's turns beside its checkpoint, by the names of the settings in `policy`."""
    served = config.policy.engine != "transformers"
    names = [name for name in PLAYED if served or name not in SERVED]
    return settings(config, names)["policy"]


def outcome_settings(config: FactoryConfig) -> dict[str, Any]:
    """All settings that decide what comes out, as JSON: what the id of a run stands for."""
    return _as_before(config.model_dump(mode="json", exclude={"name", "data_dir", "budget", "execution"}))


def _as_before(values: dict[str, Any]) -> dict[str, Any]:
    """Settings without those of ADDED that stand for what was done before."""
    for name, before in ADDED.items():
        *path, last = name.split(".")
        here = values
        for part in path:
            here = here.get(part, {})
        if last in here and here[last] == before:
            del here[last]
    return values


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
    return {
        name: _picked(values[name], below) if below else values[name]
        for name, below in tree.items()
        if name in values  # what is left out stands for what was done before
    }
