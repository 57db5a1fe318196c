"""The whole chain: every stage of every round."""

from __future__ import annotations

from collections.abc import Collection

from prefect import flow
from prefect.states import Cancelled

from configs.forms import from_form
from configs.schema import FactoryConfig
from flows.artifacts.run_page import publish_run
from flows.deployments.approval import Aborted, approved
from flows.deployments.names import rename, run_name
from flows.deployments.parameters import (
    NEXT,
    Approve,
    BudgetMinutes,
    BudgetRollouts,
    Changes,
    Configuration,
    Demonstrations,
    Exploration,
    Folder,
    FromStage,
    Mode,
    Preset,
    Round,
    Rounds,
    Seed,
    Seen,
    Threshold,
    Unseen,
)
from flows.deployments.seeds import with_next_seed
from flows.deployments.waiting import turn_in
from flows.reporting.events import emit
from flows.reporting.progress import current
from flows.reporting.readable_log import make_readable
from flows.reporting.run_log import shown_here_too
from flows.runs.lock import Held, lock_run
from flows.runs.run import folder_of, open_run, root_of, run_id
from flows.runs.starting import all_cached, require_before, stages_from
from flows.server.flow_run_process import watch_this_process
from flows.server.flow_run_states import report_below
from flows.stages import STAGE_FLOWS, round_argument
from models.served.server_pool import servers_last
from storage.runs import RunFolder
from tasks.preflight import preflight


@flow(name="factory", on_crashed=[report_below])
def factory(
    config: Configuration,
    seed: Seed = None,
    rounds: Rounds = None,
    demonstrations: Demonstrations = None,
    exploration: Exploration = None,
    seen: Seen = None,
    unseen: Unseen = None,
    preset: Preset = None,
    mode: Mode = None,
    threshold: Threshold = None,
    budget_rollouts: BudgetRollouts = None,
    budget_minutes: BudgetMinutes = None,
    changes: Changes = (),  # type: ignore[assignment]  # a default that nobody can change
    from_stage: FromStage = None,
    from_round: Round = 1,
    force: bool = False,
    approve: Approve = (),  # type: ignore[assignment]
    data_dir: Folder = None,
) -> str:
    """Expert demonstrations in, a calibrated and evaluated policy out. Returns the id of the run. What was done before
    with the same settings is not done again.

    Args:
        changes: Any other setting, as --set takes it, e.g. rewards.rollouts=8.
        from_round: The round of from_stage.
        force: Make every batch again, from from_stage on, even where it is in the cache.
        approve: Stages that wait until a person lets them begin, in a form on the page of the run.
    """
    watch_this_process()
    make_readable()
    fields = {
        "rounds": rounds,
        "demonstrations": demonstrations,
        "exploration": exploration,
        "seen": seen,
        "unseen": unseen,
        "preset": preset,
        "mode": mode,
        "threshold": threshold,
        "budget_rollouts": budget_rollouts,
        "budget_minutes": budget_minutes,
    }
    if seed != NEXT:
        fields["seed"] = seed
    given = from_form(config, fields, changes, data_dir)
    stages = stages_from(from_stage, from_round, given.rounds)
    preflight(given)
    what = f"{given.name} · seed next" if seed == NEXT else run_id(given)
    if seed != NEXT:
        rename(run_name(run_id(given)))  # before it waits for its turn
    with turn_in(root_of(given), what, current().log) as turn:
        if seed == NEXT:
            given = with_next_seed(given)
            current().log(f"seed: next is {given.seed}")
        try:
            return _run(given, stages, force, approve, turn)
        except Aborted as aborted:
            return Cancelled(message=str(aborted))  # type: ignore[return-value]  # Prefect takes states too


def _run(
    config: FactoryConfig,
    stages: list[tuple[str, int]],
    force: bool,
    approve: Collection[str],
    turn: Held | None,
) -> str:
    folder = folder_of(config)
    rename(run_name(folder.run_id))
    with lock_run(folder, current().log), servers_last(config.execution.server.at_once):
        require_before(config, stages[0])
        open_run(folder, config)
        for stage, round in stages:
            if stage in approve:
                config = approved(config, folder, stage, round, turn)
            arguments = round_argument(stage, round)
            with shown_here_too():
                STAGE_FLOWS[stage](folder.run_id, **arguments, force=force, data_dir=str(folder.root))
        _tell(folder, cached=all_cached(folder, stages))
    return folder.run_id


def _tell(folder: RunFolder, cached: bool) -> None:
    """Publish the page of the run, and emit the event that it is complete."""
    if cached:
        current().log("every result came from the cache: nothing new was made. Another seed makes new data")
    publish_run(folder.root, folder.run_id, cached)
    emit("steca.run.completed", folder, cached=cached)
