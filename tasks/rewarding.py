"""Stage rewards: the rollouts of one batch, then (without a policy) the verdicts over them.

Two tasks, so that another threshold or preset is decided from the rollouts that are there.
"""

from __future__ import annotations

from configs.parts import PLAYED
from rollouts.deciding import decide
from rollouts.scoring import score
from storage.records import Record
from tasks.batch import Batch, batch_task


@batch_task(
    "score",
    version="2",
    reads=(
        "seed",
        "environment",
        "rewards",
        "deviation",
        "datasets.expert_suffixes",
        *PLAYED,
    ),
    each_task=True,
)
def score_batch(batch: Batch) -> list[Record]:
    return score(
        batch.world,
        batch.policy,
        batch.records(),
        batch.config,
        batch.progress,
        batch.work.evidence(batch.policy.digest, batch.force),
        batch.work.meter,
    )


@batch_task("decide", version="2", reads=("deviation", "rewards"), each_task=True)
def decide_batch(batch: Batch) -> list[Record]:
    return [*decide(batch.records(), batch.config.deviation, batch.config.rewards)]
