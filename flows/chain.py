"""The work of each stage: which batches it runs, made from what. Knows no Prefect; `flows.stages` offers them as flows.

The data flow is in the `upstream` arguments; batch i of explore, rewards and calibrate is about the same tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from environments.base import data_digest_of, remarks_of
from flows.budgeted import score_all
from flows.forecast import forecast
from flows.planning import EXPLORED, WARMED_UP, cut, planned
from flows.stage import StageRun
from models.reference import reference
from storage.shards import BatchRef
from tasks.stage_tasks import (
    REPLIES,
    assemble_batch,
    calibrate_batch,
    decide_batch,
    demonstrate_batch,
    evaluate_batch,
    explore_batch,
    force_batch,
    train_batch,
    warmup_batch,
)


def demonstrate(here: StageRun) -> None:
    """Expert runs of all tasks."""
    size = here.config.execution.batch_tasks
    parts = planned(here.resources.world, here.config)
    for remark in remarks_of(here.resources.world):
        here.says(remark)
    batches = [(part, batch) for part, tasks in parts.items() for batch in cut(tasks, size)]
    here.expects(len(batches))
    for part, batch in batches:
        here.run(demonstrate_batch, part, tasks=batch)


def warmup(here: StageRun) -> None:
    """The base policy, trained on the expert runs."""
    here.expects(1)
    folder = here.config.policy.base
    base = reference(folder).digest if folder else ""  # the content, not where it lies
    refs = {"records": here.upstream("demonstrate", "demonstrate", WARMED_UP)}
    data = (
        "" if folder else data_digest_of(here.resources.world)
    )  # the tokenizer of a new model is made of it
    more = {"base": base, "round": "0"} | ({"data": data} if data else {})
    here.trained(here.run(warmup_batch, upstream=refs, more=more))


def explore(here: StageRun) -> None:
    """The policy's own turns after every expert prefix, played to the end."""
    here.checkpoint = explorer(here)
    demonstrations = here.upstream("demonstrate", "demonstrate", EXPLORED)
    here.expects(len(demonstrations))
    for ref in demonstrations:
        here.run(explore_batch, upstream={"records": [ref]}, checkpoint=here.checkpoint)


def rewards(here: StageRun) -> None:
    """Monte-Carlo step rewards by the warm-up policy, and the verdicts over them."""
    here.checkpoint = here.checkpoint_of("warmup", 0)
    pairs = explored(here)
    here.expects(2 * len(pairs))
    here.estimates(partial(forecast, here, [explorations for _, explorations in pairs]))
    for pair, scores in zip(pairs, score_all(here, pairs), strict=True):
        here.run(decide_batch, upstream={"records": [*pair, scores]})


def calibrate(here: StageRun) -> None:
    """Reflections on the deviations, and repairs that were executed to success."""
    verdicts = here.upstream("rewards", "decide")
    here.expects(len(verdicts))
    more = {"replies": REPLIES} if here.config.calibration.reflector == "llm" else {}
    for pair, verdict in zip(explored(here), verdicts, strict=True):
        here.run(calibrate_batch, upstream={"records": [*pair, verdict]}, more=more)


def train(here: StageRun) -> None:
    """The weighted training sets, and the policy trained on them, starting from the round's explorer."""
    here.expects(2)
    demonstrated = here.upstream("demonstrate", "demonstrate", WARMED_UP)
    runs = [ref for pair in explored(here) for ref in pair]
    repairs = here.upstream("calibrate", "calibrate")
    verdicts = [*here.upstream("rewards", "score"), *here.upstream("rewards", "decide")]
    sources = {"records": [*runs, *verdicts, *repairs], "demonstrated": demonstrated}
    examples = here.run(assemble_batch, upstream=sources)
    played = {ref.sha256: ref for ref in [*runs, *repairs, *demonstrated]}  # shared tasks are in it twice
    refs = {"records": list(played.values()), "examples": [examples]}
    here.trained(
        here.run(train_batch, upstream=refs, checkpoint=explorer(here), more={"round": str(here.round)})
    )


def evaluate(here: StageRun) -> None:
    """Greedy test episodes of the warm-up policy and of the round's trained policy."""
    here.checkpoint = here.checkpoint_of("train", here.round)
    policies = {"warmup": here.checkpoint_of("warmup", 0), "trained": here.checkpoint}
    tasks = here.upstream("demonstrate", "demonstrate", here.config.evaluation.splits)
    forced = here.config.evaluation.forced_deviations
    here.expects(len(tasks) * (len(policies) + forced))
    starts = [[ref, *(force_starts(here, ref, policies["warmup"]) if forced else ())] for ref in tasks]
    for role, digest in policies.items():
        for refs in starts:
            here.run(evaluate_batch, upstream={"records": refs}, checkpoint=digest, more={"role": role})


CHAIN: dict[str, Callable[[StageRun], None]] = {
    stage.__name__: stage for stage in (demonstrate, warmup, explore, rewards, calibrate, train, evaluate)
}


def explorer(here: StageRun) -> str:
    """The digest of the policy that explores in a round."""
    if here.round == 1:
        return here.checkpoint_of("warmup", 0)
    return here.checkpoint_of("train", here.round - 1)


def explored(here: StageRun) -> list[list[BatchRef]]:
    """For each batch of explored tasks: its demonstrations and its explorations."""
    demonstrations = here.upstream("demonstrate", "demonstrate", EXPLORED)
    runs = here.upstream("explore", "explore")
    return [list(pair) for pair in zip(demonstrations, runs, strict=True)]


def force_starts(here: StageRun, ref: BatchRef, scorer: str) -> list[BatchRef]:
    """The forced deviations of one batch of test tasks."""
    return [here.run(force_batch, upstream={"records": [ref]}, checkpoint=scorer)]
