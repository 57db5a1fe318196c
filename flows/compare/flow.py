"""The flow `compare`: every arm of every seed as a sub-run of the factory, one after the other."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from configs.comparison import load_comparison
from flows.compare.record import finish, record_runs
from flows.factory import factory
from flows.faults import StageFault
from flows.server.flow_run_process import watch_this_process
from tasks.preflight import preflight

SHIPPED = Path("configs/compare/quickstart.yaml")


@flow(name="compare")
def compare(
    file: Path = SHIPPED,
    arms: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (),
    data_dir: Path | None = None,
) -> str:
    """Arms of a comparison file over several seeds, with paired differences. Returns the name of the comparison.

    Args:
        file: The comparison file. Relative to the folder of the process that runs the flow.
        arms: The arms to run; empty: all.
        seeds: The seeds to run; empty: those of the file.
        data_dir: Folder of the runs; empty: that of the configuration.
    """
    watch_this_process()
    whole = load_comparison(file, seeds=seeds, data_dir=data_dir)
    wanted = whole.part(arms)
    for arm in wanted.arms:
        preflight(wanted.config(arm, wanted.seeds[0]))
    record_runs(whole, wanted)
    failed: list[str] = []
    for seed in wanted.seeds:
        for arm in wanted.arms:
            try:
                factory(wanted.config(arm, seed))
            except Exception as error:  # the other arms go on; the flow fails at the end
                failed.append(f"{arm}, seed {seed}: {error}")
    finish(whole)
    if failed:
        raise StageFault("; ".join(failed))
    return whole.name
