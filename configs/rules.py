"""Settings that are valid alone but exclude each other, found when a configuration is loaded.

These rules are for new runs only. They are not validators of the schema, because stored runs of earlier versions that
break them (e.g. with fewer explored tasks than configured) must still open: see `flows.runs.run.config_of_run`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from configs.environment import TasksConfig
from configs.faults import ConfigFault
from configs.needed import compares_suffixes, needed_stages
from configs.schema import FactoryConfig
from steca.vocabulary import TRAIN


def refuse_conflicts(config: FactoryConfig, source: str) -> None:
    """Raise ConfigFault if settings of a new run exclude each other: one line for each broken rule, which starts
    with `source` and names the fields."""
    problems = [
        *_tasks(config),
        *_splits(config),
        *_format(config),
        *_lengths(config),
        *_training(config),
        *_datasets(config),
        *_preferences(config),
        *_evidence(config),
        *_suffix_weights(config),
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
        if split == TRAIN:
            yield f"evaluation.splits lists {TRAIN}, whose tasks are trained on: list held-out splits"
        elif not config.tasks.of(split):
            name = f"tasks.{split}" if split in TasksConfig.model_fields else f"tasks.splits.{split}"
            yield f"evaluation.splits lists {split}, but {name} is 0: set {name}, or remove the split"


def _format(config: FactoryConfig) -> Iterator[str]:
    form = config.environment.action_format
    if config.policy.constrain == "admissible" and form != "react":
        yield (
            f"policy.constrain is admissible, but environment.action_format is {form}: set it to react, or constrain "
            "to none"
        )


def _lengths(config: FactoryConfig) -> Iterator[str]:
    longest, context = config.policy.max_turn_tokens, config.policy.small.context
    if config.policy.base is None and longest >= context:
        yield (
            f"policy.max_turn_tokens is {longest}, but policy.small.context is {context}: no history "
            "would fit before a turn"
        )


def _training(config: FactoryConfig) -> Iterator[str]:
    for name, training in (("warmup", config.warmup), ("training", config.training)):
        if training.lora and not training.lora.targets:
            yield f"{name}.lora.targets is empty, so no weight would be trained: list modules, or set all-linear"


def _datasets(config: FactoryConfig) -> Iterator[str]:
    parts, method = config.datasets, config.training.method
    if parts.sampled_successes and not config.exploration.samples:
        yield "datasets.sampled_successes is set, but exploration.samples is 0: set how many runs to sample"
    if method == "dpo" and not (parts.calibrated or parts.expert_suffixes):
        yield "training.method dpo has no pairs: set datasets.calibrated or datasets.expert_suffixes"
    sets = (
        *("calibrated", "explored_successes", "sampled_successes"),
        *("expert_suffixes", "expert_runs", "explored_expert_runs"),
    )
    if method == "likelihood" and not any(getattr(parts, name) for name in sets):
        yield f"datasets leaves nothing to train on: set one of {', '.join(sets)}"


USED_BY = {
    **dict.fromkeys(("beta", "sft_weight", "reference"), ("dpo", "eto", "ipr", "step_dpo")),
    **dict.fromkeys(("margin", "preset"), ("ipr",)),
    "chosen": ("step_dpo",),
}
"""By setting of training.preferences, the methods that use it."""


def _preferences(config: FactoryConfig) -> Iterator[str]:
    training = config.training
    for name, methods in USED_BY.items():
        if getattr(training.preferences, name) is not None and training.method not in methods:
            yield (
                f"training.preferences.{name} is set, but training.method is {training.method}: leave it empty, or "
                f"set the method to {' or '.join(methods)}"
            )
    if training.method == "likelihood":
        return
    if training.start == "base":
        yield (
            f"training.method is {training.method}, but training.start is base: preferences are trained from the "
            "explorer, set training.start=explorer"
        )
    if training.loss != "sum":
        yield f"training.method is {training.method}, which compares sums over tokens: set training.loss=sum"


def _evidence(config: FactoryConfig) -> Iterator[str]:
    """What needs step rewards, under modes and presets that do not compute them."""
    from steca.deviation import PRESETS  # scipy, which is slow to load, is for those who load a configuration

    preset, rewards, training = config.deviation.preset, config.rewards, config.training
    choose = config.calibration.choose
    if training.method == "ipr" and rewards.mode != "fixed":
        yield (
            f"training.method is ipr, which compares means of N rollouts, but rewards.mode is {rewards.mode}: set "
            "rewards.mode=fixed"
        )
    if PRESETS[preset].needs_rewards or rewards.mode == "fixed" or rewards.evidence == "always":
        return
    if training.method == "step_dpo" and training.preferences.chosen != "expert":
        yield (
            f"training.method step_dpo prefers turns of rollouts, but deviation.preset is {preset}, which plays none: "
            "set rewards.evidence=always, or training.preferences.chosen=expert"
        )
    weighs = training.method == "likelihood" and config.datasets.weighting == "probability"
    for name, value, used in (
        ("calibration.choose", choose, choose in ("gap", "value") and "calibrate" in needed_stages(config)),
        ("datasets.weighting", "probability", weighs and config.datasets.calibrated),
    ):
        if used:
            yield (
                f"{name} is {value}, which needs step rewards, but deviation.preset is {preset}, for which none are "
                "computed: set rewards.evidence to always, or another preset"
            )


def _suffix_weights(config: FactoryConfig) -> Iterator[str]:
    """D_s weighed by the probability that the expert's turn is better, where no rollout is played for it."""
    datasets, rewards = config.datasets, config.rewards
    weighs = config.training.method == "likelihood" and datasets.weighting == "probability"
    compared = compares_suffixes(config) or rewards.mode == "fixed"
    if weighs and datasets.expert_suffixes and not compared:
        yield (
            "datasets.weighting is probability, but with deviation.suffixes every no rollouts are played for D_s, so "
            "no probability is known for its weights: set rewards.evidence to always, deviation.suffixes to means, or "
            "another weighting"
        )


def _judge(config: FactoryConfig) -> Iterator[str]:
    if config.judge.model or "rewards" not in needed_stages(config):
        return
    for name, value, asked in (
        ("deviation.preset", config.deviation.preset, "judge"),
        ("judge.ask", config.judge.ask, "always"),
    ):
        if value == asked:
            yield f"{name} is {asked}: name the language model that judges, e.g. judge.model=gpt-4o"
