"""Settings that are valid alone but exclude each other, found when a configuration is loaded.

These rules are for new runs only. They are not validators of the schema, because stored runs of earlier versions that
break them (e.g. with fewer explored tasks than configured) must still open: see `flows.runs.config_of_run`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from configs.faults import ConfigFault
from configs.schema import FactoryConfig


def refuse_conflicts(config: FactoryConfig, source: str) -> None:
    """Raise ConfigFault if settings of a new run exclude each other: one line for each broken rule, which starts
    with `source` and names the fields."""
    problems = [
        *_tasks(config),
        *_splits(config),
        *_lengths(config),
        *_training(config),
        *_evidence(config),
        *_judge(config),
    ]
    if problems:
        raise ConfigFault("\n".join(f"{source}: {problem}" for problem in problems))


def _tasks(config: FactoryConfig) -> Iterator[str]:
    tasks = config.tasks
    if tasks.explore_demonstrated and tasks.exploration > tasks.demonstrations:
        yield (
            f"tasks.exploration is {tasks.exploration}, but tasks.explore_demonstrated allows only "
            f"the {tasks.demonstrations} tasks of tasks.demonstrations to be explored: lower the first, or "
            "raise the second"
        )


def _splits(config: FactoryConfig) -> Iterator[str]:
    for split, times in Counter(config.evaluation.splits).items():
        if times > 1:
            yield f"evaluation.splits lists {split} {times} times: list it once"
        if getattr(config.tasks, split) == 0:
            yield (
                f"evaluation.splits lists {split}, but tasks.{split} is 0: set tasks.{split}, or remove the split"
            )


def _lengths(config: FactoryConfig) -> Iterator[str]:
    longest, context = config.policy.max_turn_tokens, config.policy.small.context
    if config.policy.base is None and longest >= context:
        yield (
            f"policy.max_turn_tokens is {longest}, but policy.small.context is {context}: no history "
            "would fit before a turn"
        )


def _training(config: FactoryConfig) -> Iterator[str]:
    parts = config.datasets
    sets = ("calibrated", "explored_successes", "expert_suffixes", "expert_runs", "explored_expert_runs")
    if not any(getattr(parts, name) for name in sets):
        yield f"datasets leaves nothing to train on: set one of {', '.join(sets)}"
    for name, training in (("warmup", config.warmup), ("training", config.training)):
        if training.lora and not training.lora.targets:
            yield f"{name}.lora.targets is empty, so no weight would be trained: list modules, or set all-linear"


def _evidence(config: FactoryConfig) -> Iterator[str]:
    """What needs step rewards, under presets for which none are computed."""
    preset, rewards = config.deviation.preset, config.rewards
    if (
        preset not in ("judge", "first_failure", "every_failure")
        or rewards.mode == "fixed"
        or rewards.evidence == "always"
    ):
        return
    for name, value, asked in (
        ("calibration.choose", config.calibration.choose, "gap"),
        ("datasets.weighting", config.datasets.weighting, "probability"),
    ):
        if value == asked:
            yield (
                f"{name} is {asked}, which needs step rewards, but deviation.preset is {preset}, for which none are "
                "computed: set rewards.evidence to always, or another preset"
            )


def _judge(config: FactoryConfig) -> Iterator[str]:
    if config.judge.model:
        return
    for name, value, asked in (
        ("deviation.preset", config.deviation.preset, "judge"),
        ("judge.ask", config.judge.ask, "always"),
    ):
        if value == asked:
            yield f"{name} is {asked}: name the language model that judges, e.g. judge.model=gpt-4o"
