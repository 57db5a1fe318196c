"""The parts of a configuration that go into cache keys and ids.

A task lists the settings that it uses in `reads` (tasks/stage_tasks.py). `cache_key_settings` puts their values into
the key of each of its batches. `restricted_config` gives the stage a configuration with these settings only, and
reading any other one raises AttributeError, so a stage cannot depend on a setting that is not in its key.
`rollout_id_settings` and `run_id_settings` give the settings in the ids of rollouts and runs. A setting that is added
later enters keys and ids only where its value is not the one in ADDED_SINCE_030, so older runs keep theirs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from configs.calibration import CalibrationConfig, JudgeConfig
from configs.schema import FactoryConfig, RewardsConfig
from configs.training import PreferenceMethodConfig

M = TypeVar("M", bound=BaseModel)
Tree = dict[str, Any]
GENERATION_SETTINGS = tuple(
    f"policy.{name}"
    for name in (
        *("prompt", "max_turn_tokens", "engine", "arguments", "stop", "constrain"),
        *("thinking", "max_thinking_tokens"),
    )
)
"""The settings that decide, with the checkpoint, what a policy writes: in the key of every stage that plays episodes,
and in the id of every rollout."""
SERVED_ONLY = frozenset(f"policy.{name}" for name in ("engine", "arguments", "stop", "constrain"))
"""Those of GENERATION_SETTINGS that apply to a served policy only."""
CALIBRATION_SETTINGS = tuple(
    f"calibration.{name}" for name in CalibrationConfig.model_fields if name not in ("choose", "repairs")
)
"""The settings that decide a repair. The others decide which turns are repaired."""
JUDGE_SETTINGS = tuple(f"judge.{name}" for name in JudgeConfig.model_fields if name != "ask")
"""The settings that decide what a judge says of a turn."""
REWARD_SETTINGS = tuple(f"rewards.{name}" for name in RewardsConfig.model_fields if name != "scorer")
"""The settings of step rewards. In place of the scorer's folder its digest is in keys, as the checkpoint that plays."""
ADDED_SINCE_030: dict[str, Any] = {
    "environment.action_format": "react",
    "environment.briefing": "",
    "environment.demonstrations": None,
    "tasks.splits": {},
    "policy.thinking": "off",
    "policy.max_thinking_tokens": 1024,
    "deviation.probability": 0.5,
    "deviation.suffixes": "preset",
    "rewards.scorer": None,
    "calibration.choose": "verdict",
    "calibration.repairs": None,
    **{f"judge.{name}": field.default for name, field in JudgeConfig.model_fields.items()},
    "exploration.samples": 0,
    "exploration.temperature": 1.0,
    "datasets.sampled_successes": False,
    "training.method": "likelihood",
    "training.start": "explorer",
    **{f"training.preferences.{name}": None for name in PreferenceMethodConfig.model_fields},
}
"""Settings added after version 0.3.0, each with the value that means what 0.3.0 did. With this value a setting is left
out of cache keys and ids, so that older runs and rollouts keep theirs."""

BY_CONTENT = ("environment.demonstrations", "environment.briefing")
"""Settings that are in keys by their content and not by their value: the digest of the recorded runs, and the text that
the policy is told."""


def restricted_config(config: FactoryConfig, fields: Sequence[str]) -> FactoryConfig:
    """The configuration with only the given fields ("seed", "policy.prompt"). Reading any other one raises
    AttributeError."""
    pruned = _pruned(config, _tree(fields))
    for name in BY_CONTENT:
        pruned = _without(pruned, name.split("."))
    return pruned


def cache_key_settings(
    config: FactoryConfig, fields: Sequence[str], connection_options: Collection[str] = ()
) -> dict[str, Any]:
    """The same fields as JSON values, for the cache key of a stage that reads them. `connection_options`: options of a
    world that say where it is, and do not change a result."""
    values = _without_030_values(config.model_dump(mode="json"))
    for name in (*BY_CONTENT, *(f"environment.options.{option}" for option in connection_options)):
        _drop_any(values, name.split("."))
    return _picked(values, _tree(fields))


def rollout_id_settings(config: FactoryConfig) -> dict[str, Any]:
    """The settings that decide, with the checkpoint, what a policy writes: by their names in `policy`, for the ids of
    rollouts."""
    served = config.policy.engine != "transformers"
    names = [name for name in GENERATION_SETTINGS if served or name not in SERVED_ONLY]
    return cache_key_settings(config, names)["policy"]


def run_id_settings(config: FactoryConfig) -> dict[str, Any]:
    """All settings that decide the results, as JSON values, for the id of a run."""
    return _without_030_values(
        config.model_dump(mode="json", exclude={"name", "data_dir", "budget", "execution"})
    )


def _without_030_values(values: dict[str, Any]) -> dict[str, Any]:
    """Settings without those that have their value in ADDED_SINCE_030, nor sections that have nothing else."""
    for name, value_of_030 in ADDED_SINCE_030.items():
        _drop(values, name.split("."), value_of_030)
    return values


def _drop(values: dict[str, Any], path: Sequence[str], value: Any) -> None:
    first, *rest = path
    if first not in values:
        return
    if rest:
        _drop(values[first], rest, value)
    if values[first] == ({} if rest else value):
        del values[first]


def _drop_any(values: dict[str, Any], path: Sequence[str]) -> None:
    """Leave a setting out, whatever its value."""
    for section in path[:-1]:
        values = values.get(section, {})
    values.pop(path[-1], None)


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


def _without(model: M, path: Sequence[str]) -> M:
    first, *rest = path
    copy = model.model_copy()
    if rest and first in copy.__dict__:
        copy.__dict__[first] = _without(copy.__dict__[first], rest)
    elif not rest:
        copy.__dict__.pop(first, None)
    return copy


def _picked(values: dict[str, Any], tree: Tree) -> dict[str, Any]:
    """The values of the tree. Those that were left out, as they have their values of 0.3.0, are missing here too, and
    so are sections that have no other."""
    picked: dict[str, Any] = {}
    for name, below in tree.items():
        if name not in values:
            continue
        found = _picked(values[name], below) if below else values[name]
        if found or not below:
            picked[name] = found
    return picked
