"""A known run with changed settings is another run, which shares with it everything that the changes do not concern."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from configs.rules import refuse_conflicts
from configs.schema import FactoryConfig
from flows.faults import StageFault
from flows.runs.lock import lock_run
from flows.runs.run import check_round, config_of_run, folder_of, run_id
from flows.runs.starting import missing_before
from flows.wording import no_runs
from storage.runs import any_runs, list_runs, run_called

NEWEST = "newest"
"""Stands for the run that was created last."""


def known_run(root: Path, wanted: str) -> str:
    """The id of the run that is called so, or of the newest one. Raises StageFault where there are no runs,
    StorageFault where none or several match."""
    if not any_runs(root):
        raise StageFault(no_runs(root))
    return list_runs(root)[-1].run_id if wanted == NEWEST else run_called(root, wanted)


def with_changes(
    root: Path, run: str, changes: Sequence[str], first: tuple[str, int], log: Callable[[str], None]
) -> tuple[FactoryConfig, str]:
    """The configuration of a known run with changes ("deviation.delta=-0.2"), and the id of the run that it is then of:
    of the same one if results do not depend on the changes, else of a derived run. That one gets its stages before
    `first` (stage, round) from the cache. Raises ConfigFault, and StageFault where a change concerns one of them, or
    there is no such round."""
    config = config_of_run(root, run, changes)
    check_round(config, run, first[1])
    if not changes or run_id(config) == run_id(config_of_run(root, run)):
        return config, run
    derived = run_id(config)
    refuse_conflicts(config, f"run {run}")
    folder = folder_of(config)
    with lock_run(folder, log):
        missing = missing_before(config, first)
    if missing:
        raise StageFault(
            f"{', '.join(changes)} makes another run of {run}, {derived}, in which stage {missing[0]} has to be done "
            f"before {first[0]}: run the stage {missing[0]} with these changes first, or the factory"
        )
    log(
        f"run {run} with {', '.join(changes)} is run {derived}: it shares everything before stage {first[0]}, and what "
        f"follows has its own results"
    )
    return config, derived
