"""Which stages a run needs for what it trains on. The others have nothing to do: no episode, rollout or reflection."""

from __future__ import annotations

from configs.schema import FactoryConfig
from steca.vocabulary import TrainingMethod

OPTIONAL = frozenset({"explore", "rewards", "calibrate"})
"""The stages that not every run needs."""
OF_METHOD: dict[TrainingMethod, frozenset[str]] = {
    "eto": frozenset({"explore"}),
    "ipr": frozenset({"explore", "rewards"}),
    "step_dpo": frozenset({"explore", "rewards"}),
}
"""What the methods need that do not train on D_c, D_e or D_s."""


def needed_stages(config: FactoryConfig) -> frozenset[str]:
    """Of the OPTIONAL stages, those without which the training set of each round could not be made, or that the run is
    asked for besides (`exploration.samples`, `rewards.evidence`, `judge.ask`)."""
    return _of_greedy_runs(config) | ({"explore"} if config.exploration.samples else frozenset())


def needs_greedy_runs(config: FactoryConfig) -> bool:
    """Whether something needs greedy runs after every expert prefix. Else the stage explore, if it is needed at all,
    plays the sampled runs only."""
    return "explore" in _of_greedy_runs(config)


def compares_suffixes(config: FactoryConfig) -> bool:
    """Whether D_s asks for step rewards: for `deviation.suffixes`, or for its weights (`rewards.evidence`). Mode fixed
    plays them in any case."""
    by_rewards = config.deviation.suffixes != "every" or config.rewards.evidence == "always"
    return config.datasets.expert_suffixes and by_rewards


def _of_greedy_runs(config: FactoryConfig) -> frozenset[str]:
    stages = OF_METHOD.get(config.training.method) or _of_sets(config)
    if config.rewards.evidence == "always" or config.judge.ask == "always":
        stages |= {"explore", "rewards"}
    return stages


def _of_sets(config: FactoryConfig) -> frozenset[str]:
    parts = config.datasets
    if parts.calibrated:
        return frozenset({"explore", "rewards", "calibrate"})
    if parts.expert_suffixes:
        return frozenset({"explore", "rewards"})
    return frozenset({"explore"} if parts.explored_successes else ())
