"""One Prefect flow for each stage: the work of `flows.work.chain`, scheduled, shown and retried by Prefect."""

from __future__ import annotations

from collections.abc import Callable

from prefect import Flow, flow

from configs.schema import FactoryConfig
from configs.stages import BEFORE_ROUNDS
from flows.stage_run import StageRun, stage_run
from flows.work import chain

DEFAULT = FactoryConfig()
PARAMETERS = """
Args:
    config: The run's configuration.
    run: Id of a known run, whose settings are then used instead; empty: the configuration's own run.
    round: {round}
    force: Make every batch again, even where it is in the cache.
"""
"""Prefect shows these descriptions in the form that starts a flow."""


def stage_flow(work: Callable[[StageRun], None], round_means: str = "") -> Flow[..., None]:
    """The work of a stage as a flow of the same name. `round_means` describes its parameter `round`."""
    name = work.__name__

    def stage(config: FactoryConfig = DEFAULT, run: str = "", round: int = 1, force: bool = False) -> None:
        with stage_run(name, config, run, round, force) as running:
            work(running)

    unused = "Not used: this stage runs once, before the rounds."
    stage.__name__ = stage.__qualname__ = name  # Prefect derives the flow's entrypoint from it
    stage.__doc__ = f"{work.__doc__}\n" + PARAMETERS.format(
        round=unused if name in BEFORE_ROUNDS else round_means
    )
    return flow(name=name)(stage)


demonstrate = stage_flow(chain.demonstrate)
warmup = stage_flow(chain.warmup)
explore = stage_flow(chain.explore, "From 2 on, the policy trained in the round before explores.")
rewards = stage_flow(chain.rewards, "The round whose explorations are scored.")
calibrate = stage_flow(chain.calibrate, "The round whose deviations are calibrated.")
train = stage_flow(chain.train, "The round whose data the policy is trained on.")
evaluate = stage_flow(chain.evaluate, "The round whose trained policy is tested.")

STAGE_FLOWS = {
    stage.name: stage for stage in (demonstrate, warmup, explore, rewards, calibrate, train, evaluate)
}
