"""`steca stage`: one stage of a known run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from cli.data_folder import whole
from cli.runtime import flow_runtime, take_from_cache
from cli.terminal.console import make_console, say
from configs.needed import OPTIONAL, needed_stages
from configs.schema import FactoryConfig
from flows.wording import another_run, nothing_to_do
from tasks.preflight import preflight


def run_stage(
    name: str,
    data_dir: Path,
    run: str,
    round: int,
    force: bool,
    changes: Sequence[str],
    following: bool = False,
    debug: bool = False,
) -> None:
    """Run one stage of a known run, with changed settings: those of execution and budget are the run's from then on,
    others make another run. Raises StageFault where an earlier stage is not complete."""
    from flows.runs.derived import known_run, with_changes
    from flows.runs.run import folder_of
    from flows.runs.starting import stages_from

    root, console = whole(data_dir), make_console()
    known, log = known_run(root, run), partial(say, console)
    config, of = with_changes(root, known, changes, (name, round), log)
    if folder_of(config, of).execution() is None:
        log(
            f"run {known} was started by version 0.3.0, which did not store execution and budget settings: those that "
            "are not given with --set have their defaults"
        )
    if name in OPTIONAL - needed_stages(config):
        log(_not_needed(name, of, data_dir))
    stages = stages_from(name, round, config.rounds) if following else [(name, round)]
    if not force and take_from_cache(console, config, of, stages):
        return
    preflight(config, [each for each, _ in stages], quick=True)
    with flow_runtime(data_dir, console, debug):
        _run(config, of, stages, force, log)


def _run(
    config: FactoryConfig,
    of: str,
    stages: Sequence[tuple[str, int]],
    force: bool,
    log: Callable[[str], None],
) -> None:
    """Run stages of the run `of`; `force` is for the first of them."""
    from flows.runs.lock import lock_run
    from flows.runs.run import folder_of, open_run
    from flows.stages import STAGE_FLOWS, round_argument

    folder = folder_of(config, of)
    with lock_run(folder, log):
        open_run(folder, config)
        for place, (name, round) in enumerate(stages):
            again = force and place == 0
            arguments = round_argument(name, round)
            STAGE_FLOWS[name](of, **arguments, force=again, data_dir=str(folder.root))


def _not_needed(name: str, run: str, data_dir: Path) -> str:
    """What is said before a stage that the run does not need."""
    said = f"stage {name} has {nothing_to_do(f'run {run}')}."
    if name == "calibrate":
        return said
    return (
        f"{said} To explore and score all the same, start {another_run(data_dir, 'rewards.evidence=always')}"
    )
