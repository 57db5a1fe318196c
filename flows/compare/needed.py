"""Which stages an arm's training set is made with: what the arm would cost if it were run alone.

A factory run has all stages, whatever it trains on. So the runs of an arm that trains on expert runs only hold rollouts
too, which it does not need.
"""

from __future__ import annotations

from configs.schema import FactoryConfig
from configs.stages import NEEDED
from rollouts.stages.decide import rule_of


def needed_stages(config: FactoryConfig) -> frozenset[str]:
    """Of explore, rewards, calibrate and train, those without which the training set could not be made. Demonstrations
    and the warm-up, which all arms share, and the evaluation are in nobody's costs."""
    stages = {"train"}
    if config.training.method in ("likelihood", "dpo"):
        stages |= _of_sets(config)
    else:
        stages |= {"explore", *NEEDED[config.training.method]}
    return frozenset(stages | {"explore"} if config.rounds > 1 else stages)


def _of_sets(config: FactoryConfig) -> set[str]:
    """What the sets D_c, D_e and D_s, and the sampled successes, are made with."""
    parts, deviation = config.datasets, config.deviation
    stages: set[str] = set()
    if parts.explored_successes or parts.sampled_successes or parts.calibrated or parts.expert_suffixes:
        stages.add("explore")
    rule = rule_of(deviation)
    repairs_by_rewards = parts.calibrated and (rule.needs_rewards or rule.test == "judge")
    if repairs_by_rewards or (parts.expert_suffixes and deviation.suffixes != "every"):
        stages.add("rewards")
    if parts.calibrated:
        stages.add("calibrate")
    return stages
