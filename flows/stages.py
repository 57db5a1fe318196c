"""One Prefect flow for each stage: the work of `flows.work.chain`, scheduled, shown and retried by Prefect."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from prefect import Flow, flow

from configs.schema import FactoryConfig
from configs.stages import BEFORE_ROUNDS, round_of
from flows.deployments.names import rename, run_name
from flows.deployments.parameters import Changes, Folder, KnownRun, Round
from flows.deployments.waiting import turn_in
from flows.reporting.progress import current
from flows.reporting.readable_log import make_readable
from flows.runs.derived import NEWEST, known_run, with_changes
from flows.runs.run import run_id
from flows.runs.starting import stages_from
from flows.server.flow_run_process import watch_this_process
from flows.server.flow_run_states import report_below
from flows.stage_run import StageRun, stage_run
from flows.work import chain
from models.served.server_pool import servers_last

PARAMETERS = """
Args:
    run: Id or name of a known run; newest: the one that was created last.{round}
    force: Make every batch again, even where it is in the cache.
    following: Also run the stages that follow.
    changes: Settings to change, as --set takes them, e.g. deviation.delta=-0.2. Where results depend on them, this
        makes another run, which shares all earlier stages.
    data_dir: Folder of the runs and the store.
"""
"""Prefect shows these descriptions in the form that starts a flow."""


def stage_flow(work: Callable[[StageRun], None], round_means: str = "") -> Flow[..., str]:
    """The work of a stage as a flow of the same name. `round_means` describes its parameter `round`; stages that run
    once have none."""

    def stage(
        run: KnownRun = NEWEST,
        round: Round = 1,
        force: bool = False,
        following: bool = False,
        changes: Changes = (),  # type: ignore[assignment]  # a default that nobody can change
        data_dir: Folder = None,
    ) -> str:
        watch_this_process()
        make_readable()
        root = Path(data_dir or "data").expanduser().resolve()
        if isinstance(run, FactoryConfig):
            return run_stage(work, run, run_id(run), round, force)
        with turn_in(root, run_name(run, name, round_of(name, round)), current().log):
            return run_known(work, root, run, round, force, following, changes)

    def once(
        run: KnownRun = NEWEST,
        force: bool = False,
        following: bool = False,
        changes: Changes = (),  # type: ignore[assignment]
        data_dir: Folder = None,
    ) -> str:
        return stage(run, 1, force, following, changes, data_dir)

    name = work.__name__
    made: Callable[..., str] = once if name in BEFORE_ROUNDS else stage
    made.__name__ = made.__qualname__ = name  # Prefect derives the flow's entrypoint from it
    made.__doc__ = f"{work.__doc__}\n" + PARAMETERS.format(
        round=f"\n    round: {round_means}" if round_means else ""
    )
    return flow(name=name, on_crashed=[report_below])(made)


def run_known(
    work: Callable[[StageRun], None],
    root: Path,
    run: str,
    round: int,
    force: bool,
    following: bool,
    changes: Changes,
) -> str:
    """Run a stage of a known run, or of the run that the changes make of it, and what follows if it is asked for."""
    name, known = work.__name__, known_run(root, run)
    config, of = with_changes(root, known, changes, (name, round), current().log)
    with servers_last(config.execution.server.at_once) if following else nullcontext():
        run_stage(work, config, of, round, force)
        for later, its_round in stages_from(name, round, config.rounds)[1:] if following else ():
            STAGE_FLOWS[later](of, **round_argument(later, its_round), data_dir=str(root))
    return of


def run_stage(
    work: Callable[[StageRun], None], config: FactoryConfig, of: str, round: int, force: bool
) -> str:
    """Run a stage of the run `of`, which has this configuration."""
    name = work.__name__
    rename(run_name(of, name, round_of(name, round)))
    with stage_run(name, config, of, round, force) as running:
        work(running)
    return of


def round_argument(stage: str, round: int) -> dict[str, Any]:
    """The argument `round` of a stage's flow, for those that have one."""
    return {} if stage in BEFORE_ROUNDS else {"round": round}


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
