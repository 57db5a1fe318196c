"""Settings that exclude each other, each of them fine alone: found when a configuration is loaded, not after an hour.

These are rules for new runs. They are no validators of the schema, because runs that an older version accepted (and
silently bent, e.g. explored fewer tasks than were asked for) must still open: `flows.runs.config_of_run` validates
what is stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from configs.faults import ConfigFault
from configs.schema import FactoryConfig


def refuse_conflicts(config: FactoryConfig, source: str) -> None:
    """Raise ConfigFault where settings of a new run exclude each other: one line for each broken rule, which starts
    with `source` and names the fields."""
    problems = [*_tasks(config), *_splits(config), *_lengths(config), *_training(config)]
    if problems:
        raise ConfigFault("\n".join(f"{source}: {problem}" for problem in problems))


def _tasks(config: FactoryConfig) -> Iterator[str]:
    tasks = config.tasks
    if tasks.explore_demonstrated and tasks.exploration > tasks.demonstrations:
        yield (
            f"tasks.exploration is {tasks.exploration}, but tasks.explore_demonstrated lets only the "
            f"{tasks.demonstrations} tasks of tasks.demonstrations be explored: lower the one, or raise the other"
        )


def _splits(config: FactoryConfig) -> Iterator[str]:
    for split, times in Counter(config.evaluation.splits).items():
        if times > 1:
            yield f"evaluation.splits names {split} {times} times: once is enough"
        if getattr(config.tasks, split) == 0:
            yield (
                f"evaluation.splits names {split}, but tasks.{split} is 0: ask for tasks, or leave the split out"
            )


def _lengths(config: FactoryConfig) -> Iterator[str]:
    longest, context = config.policy.max_turn_tokens, config.policy.small.context
    if config.policy.base is None and longest >= context:
        yield (
            f"policy.max_turn_tokens is {longest}, but policy.small.context is {context}: no history would fit before "
            "a turn"
        )


def _training(config: FactoryConfig) -> Iterator[str]:
    parts = config.datasets
    sets = ("calibrated", "explored_successes", "expert_suffixes", "expert_runs", "explored_expert_runs")
    if not any(getattr(parts, name) for name in sets):
        yield f"datasets leaves nothing to train on: set one of {', '.join(sets)}"
    for name, training in (("warmup", config.warmup), ("training", config.training)):
        if training.lora and not training.lora.targets:
            yield f"{name}.lora.targets is empty, so no weight would be trained: name modules, or all-linear"
