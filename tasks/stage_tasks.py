"""Every cached task of the stages, in one file: what it reads (its part of the cache key), its version, its body.

Raise a version whenever the body would give other rows for the same inputs. `each_task` marks tasks whose rows for one
game do not depend on the other games of the batch, `anywhere` those that other machines may run: all that play or ask.
Bodies that need torch import it only when they really run.
"""

from __future__ import annotations

from collections.abc import Callable

from configs.cache_inputs import (
    CALIBRATION_SETTINGS,
    GENERATION_SETTINGS,
    JUDGE_SETTINGS,
    REWARD_SETTINGS,
)
from models.reflectors.reflector import Reflector
from rollouts.rows import of_type
from rollouts.stages.calibrate import calibrate
from rollouts.stages.choose import choose_repairs
from rollouts.stages.decide import decide
from rollouts.stages.demonstrate import demonstrate
from rollouts.stages.evaluate import evaluate, force_deviations
from rollouts.stages.explore import explore, sample_runs
from rollouts.stages.judge import judge_turns
from rollouts.stages.score import score, score_for_ipr
from storage.records import Record, RepairChoiceRecord
from tasks.batch import Batch
from tasks.batch_task import batch_task

TRAINED = ("policy.prompt", "policy.thinking")
"""The settings of a policy that decide what it is trained on."""
REPLIES = "2"
"""Version of how replies of language models are parsed. Raise it when a reply may be read differently: calibrations by
a language model are then made again from the stored replies; those of the template reflector stay cached."""
JUDGEMENTS = "1"
"""The same for judgements."""
WRITING = ("policy.engine", "policy.arguments", "policy.thinking", "policy.max_thinking_tokens")
"""The settings that decide, with the checkpoint and the prompt, what a policy writes when it is no turn."""


@batch_task(
    "demonstrate", version="1", reads=("environment",), each_task=True, parts="episodes", anywhere=True
)
def demonstrate_batch(batch: Batch) -> list[Record]:
    """The expert's runs."""
    return demonstrate(batch.world, batch.tasks, batch.config, batch.progress, batch.resources.log)


@batch_task(
    "warmup",
    version="2",
    reads=("seed", "environment", "policy.small", *TRAINED, "warmup"),
    parts="training steps",
)
def warmup_batch(batch: Batch) -> list[Record]:
    """Train the base policy. `inputs["base"]` is the digest of the model folder to start from, "" for a new small
    model."""
    from tasks.train_bodies import warm_up

    return [warm_up(batch)]


@batch_task(
    "explore",
    version="1",
    reads=("environment", *GENERATION_SETTINGS),
    each_task=True,
    parts="episodes",
    waits_for="policy",
    anywhere=True,
)
def explore_batch(batch: Batch) -> list[Record]:
    """The policy's own runs after the expert's prefixes."""
    return explore(batch.world, batch.policy, batch.records(), batch.config, batch.progress)


@batch_task(
    "sample",
    version="1",
    reads=("seed", "environment", "exploration.temperature", *GENERATION_SETTINGS),
    each_task=True,
    parts="episodes",
    waits_for="policy",
    anywhere=True,
)
def sample_batch(batch: Batch) -> list[Record]:
    """Stage explore: one sampled run of each task. `inputs["sample"]` is its place among the samples, so that more
    samples play the new ones only."""
    index = int(batch.inputs["sample"])
    return sample_runs(batch.world, batch.policy, batch.records(), batch.config, index, batch.progress)


@batch_task(
    "score",
    version="2",
    reads=(
        *("seed", "environment", "deviation", "datasets.expert_suffixes"),
        *(*REWARD_SETTINGS, *GENERATION_SETTINGS),
    ),
    each_task=True,
    parts="rollouts",
    waits_for="policy",
    anywhere=True,
)
def score_batch(batch: Batch) -> list[Record]:
    """Stage rewards, first half: Monte-Carlo rollouts. Since 0.4 their rows have `first_turn`. This is no new version:
    rows without it serve all methods but one variant of step_dpo, which leaves them out."""
    return _scored(batch, score)


@batch_task(
    "judge",
    version="1",
    reads=("rewards.candidates", *JUDGE_SETTINGS),
    each_task=True,
    replies_kept=True,
    parts="judgements",
    waits_for="judge",
    anywhere=True,
)
def judge_batch(batch: Batch) -> list[Record]:
    """Stage rewards: what a language model says of the explored turns."""
    judge = batch.resources.judge(batch.config.judge)
    return [*judge_turns(judge, batch.records(), batch.config.rewards.candidates, batch.progress)]


@batch_task(
    "score_ipr",
    version="1",
    reads=(
        *("seed", "environment", "deviation", "training.preferences.preset", "training.preferences.margin"),
        *(*REWARD_SETTINGS, *GENERATION_SETTINGS),
    ),
    each_task=True,
    parts="rollouts",
    waits_for="policy",
    anywhere=True,
)
def score_ipr_batch(batch: Batch) -> list[Record]:
    """In place of `score` for method ipr: the rollouts of its comparisons, shared with those of `score`."""
    return _scored(batch, score_for_ipr)


def _scored(batch: Batch, by: Callable[..., list[Record]]) -> list[Record]:
    """The rows of a scoring function, with the run's stored rollouts and its budget."""
    pool = batch.resources.rollout_pool(batch.policy.digest, batch.force)
    given = batch.world, batch.policy, batch.records(), batch.config, batch.progress
    return by(*given, pool, batch.budget)


@batch_task("decide", version="2", reads=("deviation", *REWARD_SETTINGS), each_task=True)
def decide_batch(batch: Batch) -> list[Record]:
    """Stage rewards, second half: verdicts. A task of its own, so that another threshold needs no new rollouts."""
    return [*decide(batch.records(), batch.config.deviation, batch.config.rewards)]


@batch_task("choose", version="1", reads=("seed", "deviation", "calibration.choose", "calibration.repairs"))
def choose_batch(batch: Batch) -> list[Record]:
    """Which turns of a round to repair: one batch for all its tasks, because they compete."""
    config = batch.config
    return [*choose_repairs(batch.records(), config.deviation, config.calibration, config.seed)]


@batch_task(
    "calibrate",
    version="2",
    reads=("environment", *CALIBRATION_SETTINGS),
    each_task=True,
    replies_kept=True,
    parts="reflections",
    waits_for="reflector",
    anywhere=True,
)
def calibrate_batch(batch: Batch) -> list[Record]:
    """Reflections on the deviations, and repairs proved by executing them."""
    return _calibrated(batch, batch.resources.reflector(batch.config.calibration, batch.world))


@batch_task(
    "calibrate_self",
    version="1",
    reads=("environment", *CALIBRATION_SETTINGS, *WRITING),
    each_task=True,
    parts="reflections",
    waits_for="policy",
    anywhere=True,
)
def calibrate_self_batch(batch: Batch) -> list[Record]:
    """The same, with reflections by the policy that explored, whose digest is the checkpoint."""
    return _calibrated(batch, batch.resources.self_reflector(batch.config, batch.policy, batch.world))


def _calibrated(batch: Batch, reflector: Reflector) -> list[Record]:
    chosen = None
    if "choices" in batch.refs:
        rows = of_type(batch.records("choices"), RepairChoiceRecord)
        chosen = frozenset(row.deviation_id for row in rows if row.chosen)
    return calibrate(batch.world, reflector, batch.records(), batch.config, batch.progress, chosen)


@batch_task("assemble", version="2", reads=("datasets",))
def assemble_batch(batch: Batch) -> list[Record]:
    """Stage train, first half: the weighted training sets."""
    from rollouts.stages.assemble import assemble, describe_sampled

    if batch.config.datasets.sampled_successes:
        batch.resources.log(describe_sampled(batch.records()))
    return [*assemble(batch.records(), batch.records("demonstrated"), batch.config.datasets)]


@batch_task(
    "pair",
    version="1",
    reads=(
        *("training.method", "training.preferences.preset", "training.preferences.margin"),
        *(
            "training.preferences.chosen",
            "rewards.rollouts",
            "datasets.calibrated",
            "datasets.expert_suffixes",
        ),
    ),
)
def pair_batch(batch: Batch) -> list[Record]:
    """Stage train, first half, for methods that learn from preferences: their pairs."""
    from rollouts.stages.pairs import assemble_pairs

    found = assemble_pairs(batch.records(), batch.config)
    batch.resources.log(str(found))
    return [*found.rows]


@batch_task("train", version="2", reads=("seed", *TRAINED, "training"), parts="training steps")
def train_batch(batch: Batch) -> list[Record]:
    """Stage train, second half: the policy trained on the weighted sets."""
    from tasks.train_bodies import reinforce

    return [reinforce(batch)]


@batch_task(
    "train_base", version="1", reads=("seed", "policy.small", *TRAINED, "training"), parts="training steps"
)
def train_base_batch(batch: Batch) -> list[Record]:
    """The same, starting from the base model. `inputs["base"]` is the digest of its folder, "" for a new small model,
    which has the tokenizer of the checkpoint."""
    from tasks.train_bodies import train_base

    return [train_base(batch)]


@batch_task("prefer", version="1", reads=("seed", *TRAINED, "training"), parts="training steps")
def prefer_batch(batch: Batch) -> list[Record]:
    """Stage train, second half: the policy trained on preference pairs. `inputs["reference"]` is the digest of the
    reference model."""
    from tasks.train_bodies import prefer

    return [prefer(batch)]


@batch_task(
    "force",
    version="1",
    reads=("seed", "environment", *GENERATION_SETTINGS),
    each_task=True,
    waits_for="policy",
    anywhere=True,
)
def forced_deviations_batch(batch: Batch) -> list[Record]:
    """Stage evaluate: forced deviations that some test episodes start from."""
    return force_deviations(batch.world, batch.policy, batch.records(), batch.config)


@batch_task(
    "evaluate",
    version="1",
    reads=("environment", *GENERATION_SETTINGS),
    each_task=True,
    parts="episodes",
    waits_for="policy",
    anywhere=True,
)
def evaluate_batch(batch: Batch) -> list[Record]:
    """Test episodes on held-out tasks."""
    return evaluate(
        batch.world, batch.policy, batch.records(), batch.config, batch.inputs["role"], batch.progress
    )
