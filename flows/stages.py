"""One flow a stage. Each reads what the stages before it left in the run, works batch by batch, and publishes.

The data flow is in the `upstream` arguments; batch i of explore, rewards and calibrate is about the same tasks.
"""

from __future__ import annotations

from prefect import flow

from configs.schema import FactoryConfig
from flows.forecast import forecast
from flows.planning import EXPLORED, WARMED_UP, cut, planned
from flows.spending import score_all
from flows.stage import StageRun, stage_run
from models.reference import reference
from storage.shards import BatchRef
from tasks.calibrating import calibrate_batch
from tasks.demonstrating import demonstrate_batch
from tasks.evaluating import evaluate_batch, force_batch
from tasks.exploring import explore_batch
from tasks.rewarding import decide_batch
from tasks.training import assemble_batch, train_batch, warmup_batch

DEFAULT = FactoryConfig()


@flow(name="demonstrate")
def demonstrate(config: FactoryConfig = DEFAULT, run: str = "", round: int = 1, force: bool = False) -> None:
    """Expert runs of all tasks.

    Args:
        config: The run's configuration.
        run: Id of a known run, whose settings are then used instead; empty: the configuration's own run.
        round: Not used: demonstrations come before the rounds.
        force: Do every batch again, although it is in the cache.
    """
    with stage_run("demonstrate", config, run, round, force) as here:
        size = here.config.execution.batch_tasks
        parts = planned(here.work.world, here.config)
        batches = [(part, batch) for part, tasks in parts.items() for batch in cut(tasks, size)]
        here.expects(len(batches))
        for part, batch in batches:
            here.run(demonstrate_batch, demonstrate_batch.inputs(here.config, part, tasks=batch))


@flow(name="warmup")
def warmup(config: FactoryConfig = DEFAULT, run: str = "", round: int = 1, force: bool = False) -> None:
    """The base policy, trained on the expert runs.

    Args:
        config: The run's configuration.
        run: Id of a known run, whose settings are then used instead; empty: the configuration's own run.
        round: Not used: the warm-up comes before the rounds.
        force: Do it again, although it is in the cache.
    """
    with stage_run("warmup", config, run, round, force) as here:
        here.expects(1)
        folder = here.config.policy.base
        base = reference(folder).digest if folder else ""  # the content, not where it lies
        refs = {"records": here.upstream("demonstrate", "demonstrate", WARMED_UP)}
        inputs = warmup_batch.inputs(here.config, "all", refs, base=base, round="0")
        here.trained(here.run(warmup_batch, inputs))


@flow(name="explore")
def explore(config: FactoryConfig = DEFAULT, run: str = "", round: int = 1, force: bool = False) -> None:
    """The policy's own turns after every expert prefix, played to the end.

    Args:
        config: The run's configuration.
        run: Id of a known run, whose settings are then used instead; empty: the configuration's own run.
        round: From 2 on, the policy trained in the round before explores.
        force: Do every batch again, although it is in the cache.
    """
    with stage_run("explore", config, run, round, force) as here:
        here.checkpoint = explorer(here)
        demonstrations = here.upstream("demonstrate", "demonstrate", EXPLORED)
        here.expects(len(demonstrations))
        for ref in demonstrations:
            inputs = explore_batch.inputs(here.config, "all", {"records": [ref]}, here.checkpoint)
            here.run(explore_batch, inputs)


@flow(name="rewards")
def rewards(config: FactoryConfig = DEFAULT, run: str = "", round: int = 1, force: bool = False) -> None:
    """Monte-Carlo step rewards by the warm-up policy, and the verdicts over them.

    Args:
        config: The run's configuration.
        run: Id of a known run, whose settings are then used instead; empty: the configuration's own run.
        round: Which round's explorations to score.
        force: Do every batch again, although it is in the cache.
    """
    with stage_run("rewards", config, run, round, force) as here:
        here.checkpoint = here.checkpoint_of("warmup", 0)
        pairs = explored(here)
        here.expects(2 * len(pairs))
        here.reporter.says(forecast(here, [explorations for _, explorations in pairs]))
        for pair, scores in zip(pairs, score_all(here, pairs), strict=True):
            evidence = {"records": [*pair, scores]}
            here.run(decide_batch, decide_batch.inputs(here.config, "all", evidence))


@flow(name="calibrate")
def calibrate(config: FactoryConfig = DEFAULT, run: str = "", round: int = 1, force: bool = False) -> None:
    """Reflections on the deviations, and repairs that were executed to success.

    Args:
        config: The run's configuration.
        run: Id of a known run, whose settings are then used instead; empty: the configuration's own run.
        round: Which round's deviations to calibrate.
        force: Do every batch again, although it is in the cache.
    """
    with stage_run("calibrate", config, run, round, force) as here:
        verdicts = here.upstream("rewards", "decide")
        here.expects(len(verdicts))
        for pair, verdict in zip(explored(here), verdicts, strict=True):
            refs = {"records": [*pair, verdict]}
            here.run(calibrate_batch, calibrate_batch.inputs(here.config, "all", refs))


@flow(name="train")
def train(config: FactoryConfig = DEFAULT, run: str = "", round: int = 1, force: bool = False) -> None:
    """The weighted training sets, and the policy trained on them, starting from the round's explorer.

    Args:
        config: The run's configuration.
        run: Id of a known run, whose settings are then used instead; empty: the configuration's own run.
        round: Which round's data to train on.
        force: Do it again, although it is in the cache.
    """
    with stage_run("train", config, run, round, force) as here:
        here.expects(2)
        demonstrated = here.upstream("demonstrate", "demonstrate", WARMED_UP)
        runs = [ref for pair in explored(here) for ref in pair]
        repairs = here.upstream("calibrate", "calibrate")
        verdicts = [*here.upstream("rewards", "score"), *here.upstream("rewards", "decide")]
        sources = {"records": [*runs, *verdicts, *repairs], "demonstrated": demonstrated}
        examples = here.run(assemble_batch, assemble_batch.inputs(here.config, "all", sources))
        played = {ref.sha256: ref for ref in [*runs, *repairs, *demonstrated]}  # shared tasks are in it twice
        refs = {"records": list(played.values()), "examples": [examples]}
        inputs = train_batch.inputs(here.config, "all", refs, explorer(here), round=str(round))
        here.trained(here.run(train_batch, inputs))


@flow(name="evaluate")
def evaluate(config: FactoryConfig = DEFAULT, run: str = "", round: int = 1, force: bool = False) -> None:
    """Greedy test episodes of the warm-up policy and of the round's trained policy.

    Args:
        config: The run's configuration.
        run: Id of a known run, whose settings are then used instead; empty: the configuration's own run.
        round: Which round's trained policy to test.
        force: Do every batch again, although it is in the cache.
    """
    with stage_run("evaluate", config, run, round, force) as here:
        here.checkpoint = here.checkpoint_of("train", round)
        policies = {"warmup": here.checkpoint_of("warmup", 0), "trained": here.checkpoint}
        tasks = here.upstream("demonstrate", "demonstrate", here.config.evaluation.splits)
        forced = here.config.evaluation.forced_deviations
        here.expects(len(tasks) * (len(policies) + forced))
        starts = [[ref, *(force_starts(here, ref, policies["warmup"]) if forced else ())] for ref in tasks]
        for role, digest in policies.items():
            for refs in starts:
                inputs = evaluate_batch.inputs(here.config, "all", {"records": refs}, digest, role=role)
                here.run(evaluate_batch, inputs)


STAGE_FLOWS = {
    stage.name: stage for stage in (demonstrate, warmup, explore, rewards, calibrate, train, evaluate)
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
    return [here.run(force_batch, force_batch.inputs(here.config, "all", {"records": [ref]}, scorer))]
