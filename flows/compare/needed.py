"""Which stages an arm's training set is made with: what the arm would cost if it were run alone.

Every factory run has all stages, whatever it trains on. So the runs of an arm that trains on expert runs only hold
rollouts too, which it does not need.
"""

from __future__ import annotations

from configs.schema import FactoryConfig
from rollouts.stages.decide import rule_of


def needed_stages(config: FactoryConfig) -> frozenset[str]:
    """Of explore, rewards, calibrate and train, those without which the training set could not be made. Demonstrations
    and the warm-up, which all arms share, and the evaluation are in nobody's costs."""
    parts = config.datasets
    stages = {"train"}
    if parts.explored_successes or parts.calibrated or parts.expert_suffixes or config.rounds > 1:
        stages.add("explore")
    rule = rule_of(config.deviation)
    if (parts.calibrated and (rule.needs_rewards or rule.test == "judge")) or parts.expert_suffixes:
        stages.add("rewards")
    if parts.calibrated:
        stages.add("calibrate")
    return frozenset(stages)
