"""The flow `compare`: every arm of every seed as a sub-run of the factory, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prefect import flow

from configs.comparison import Comparison, load_comparison
from flows.artifacts.comparison_page import publish_comparison
from flows.compare.record import finish, record_runs
from flows.deployments.names import rename
from flows.deployments.parameters import FolderPath
from flows.deployments.waiting import turn_in
from flows.factory import factory
from flows.faults import StageFault
from flows.reporting.progress import current
from flows.reporting.readable_log import make_readable
from flows.server.flow_run_process import watch_this_process
from flows.server.flow_run_states import report_below
from storage.store import Store
from tasks.preflight import preflight

SHIPPED = Path("configs/compare/quickstart.yaml")


@flow(name="compare", on_crashed=[report_below])
def compare(
    file: Path = SHIPPED,
    arms: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (),
    data_dir: FolderPath = None,
) -> str:
    """Arms of a comparison file over several seeds, with paired differences. Returns the name of the comparison.

    Args:
        file: The comparison file. A comment in it says what it compares.
        arms: The arms to run, by their names in the file; empty: all.
        seeds: The seeds to run; empty: those of the file.
        data_dir: Folder of the runs and the store. Empty: the configuration's.
    """
    watch_this_process()
    make_readable()
    whole = load_comparison(file, seeds=seeds, data_dir=data_dir)
    wanted = whole.part(arms)
    for arm in wanted.arms:
        preflight(wanted.config(arm, wanted.seeds[0]))
    with turn_in(whole.data_dir, f"comparison {whole.name}", current().log):
        rename(f"compare · {whole.name}")
        record_runs(whole, wanted)
        failed = list(_failures(wanted))
        publish_comparison(finish(whole), Store(whole.data_dir).published)
    if failed:
        raise StageFault("; ".join(failed))
    return whole.name


def _failures(wanted: Comparison) -> Iterator[str]:
    """Run every arm of every seed. What failed; the other arms go on."""
    for seed in wanted.seeds:
        for arm in wanted.arms:
            try:
                factory(wanted.config(arm, seed))
            except Exception as error:
                yield f"{arm}, seed {seed}: {error}"
