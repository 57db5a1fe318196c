"""One flow a stage: what `flows.chain` does, scheduled, shown and retried by Prefect."""

from __future__ import annotations

from prefect import flow

from configs.schema import FactoryConfig
from flows import chain
from flows.stage import stage_run

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
    with stage_run("demonstrate", config, run, round, force) as stage:
        chain.demonstrate(stage)


@flow(name="warmup")
def warmup(config: FactoryConfig = DEFAULT, run: str = "", round: int = 1, force: bool = False) -> None:
    """The base policy, trained on the expert runs.

    Args:
        config: The run's configuration.
        run: Id of a known run, whose settings are then used instead; empty: the configuration's own run.
        round: Not used: the warm-up comes before the rounds.
        force: Do it again, although it is in the cache.
    """
    with stage_run("warmup", config, run, round, force) as stage:
        chain.warmup(stage)


@flow(name="explore")
def explore(config: FactoryConfig = DEFAULT, run: str = "", round: int = 1, force: bool = False) -> None:
    """The policy's own turns after every expert prefix, played to the end.

    Args:
        config: The run's configuration.
        run: Id of a known run, whose settings are then used instead; empty: the configuration's own run.
        round: From 2 on, the policy trained in the round before explores.
        force: Do every batch again, although it is in the cache.
    """
    with stage_run("explore", config, run, round, force) as stage:
        chain.explore(stage)


@flow(name="rewards")
def rewards(config: FactoryConfig = DEFAULT, run: str = "", round: int = 1, force: bool = False) -> None:
    """Monte-Carlo step rewards by the warm-up policy, and the verdicts over them.

    Args:
        config: The run's configuration.
        run: Id of a known run, whose settings are then used instead; empty: the configuration's own run.
        round: Which round's explorations to score.
        force: Do every batch again, although it is in the cache.
    """
    with stage_run("rewards", config, run, round, force) as stage:
        chain.rewards(stage)


@flow(name="calibrate")
def calibrate(config: FactoryConfig = DEFAULT, run: str = "", round: int = 1, force: bool = False) -> None:
    """Reflections on the deviations, and repairs that were executed to success.

    Args:
        config: The run's configuration.
        run: Id of a known run, whose settings are then used instead; empty: the configuration's own run.
        round: Which round's deviations to calibrate.
        force: Do every batch again, although it is in the cache.
    """
    with stage_run("calibrate", config, run, round, force) as stage:
        chain.calibrate(stage)


@flow(name="train")
def train(config: FactoryConfig = DEFAULT, run: str = "", round: int = 1, force: bool = False) -> None:
    """The weighted training sets, and the policy trained on them, starting from the round's explorer.

    Args:
        config: The run's configuration.
        run: Id of a known run, whose settings are then used instead; empty: the configuration's own run.
        round: Which round's data to train on.
        force: Do it again, although it is in the cache.
    """
    with stage_run("train", config, run, round, force) as stage:
        chain.train(stage)


@flow(name="evaluate")
def evaluate(config: FactoryConfig = DEFAULT, run: str = "", round: int = 1, force: bool = False) -> None:
    """Greedy test episodes of the warm-up policy and of the round's trained policy.

    Args:
        config: The run's configuration.
        run: Id of a known run, whose settings are then used instead; empty: the configuration's own run.
        round: Which round's trained policy to test.
        force: Do every batch again, although it is in the cache.
    """
    with stage_run("evaluate", config, run, round, force) as stage:
        chain.evaluate(stage)


STAGE_FLOWS = {
    stage.name: stage for stage in (demonstrate, warmup, explore, rewards, calibrate, train, evaluate)
}
