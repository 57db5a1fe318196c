"""`steca stage`: one stage of a known run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from cli.runtime import flow_runtime, take_from_cache
from cli.terminal.console import make_console, say
from configs.faults import ConfigFault
from configs.needed import OPTIONAL, needed_stages
from flows.wording import another_run, nothing_to_do
from tasks.preflight import preflight


def run_stage(
    name: str,
    data_dir: Path,
    run: str,
    round: int,
    force: bool,
    overrides: Sequence[str],
    debug: bool = False,
) -> None:
    """Run one stage of a known run with the run's execution and budget settings, changed by `overrides`. Raises
    StageFault where an earlier stage is not complete."""
    from flows.run_lock import lock_run
    from flows.runs import check_round, config_of_run, folder_of, open_run

    config = config_of_run(data_dir, run, _checked(overrides))
    check_round(config, run, round)
    console, folder = make_console(), folder_of(config, run)
    if folder.execution() is None:
        say(
            console,
            f"run {run} was started by version 0.3.0, which did not store execution and budget settings: those that "
            "are not given with --set have their defaults",
        )
    if name in OPTIONAL - needed_stages(config):
        say(console, _not_needed(name, run, data_dir))
    if not force and take_from_cache(console, config, run, [(name, round)]):
        return
    preflight(config, [name], quick=True)
    with flow_runtime(data_dir, console, debug), lock_run(folder, partial(say, console)):
        from flows.stages import STAGE_FLOWS

        open_run(folder, config)
        STAGE_FLOWS[name](config, run=run, round=round, force=force)


def _not_needed(name: str, run: str, data_dir: Path) -> str:
    """What is said before a stage that the run does not need."""
    said = f"stage {name} has {nothing_to_do(f'run {run}')}."
    if name == "calibrate":
        return said
    return (
        f"{said} To explore and score all the same, start {another_run(data_dir, 'rewards.evidence=always')}"
    )


def _checked(overrides: Sequence[str]) -> Sequence[str]:
    for override in overrides:
        if not override.startswith(("execution.", "budget.")):
            raise ConfigFault(
                f"--set {override}: the settings of a run are fixed; only execution.* and budget.* can be changed here"
            )
    return overrides
