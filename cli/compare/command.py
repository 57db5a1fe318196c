"""`steca compare`: runs what is missing, records it, and prints tables and picture."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.compare.display import make_display
from cli.compare.ending import headline, next_commands
from cli.compare.workers import GRACE_SECONDS, Failures, run_seeds
from cli.data_folder import local
from cli.runtime import check_writable
from cli.signals import leave_on_interrupt
from cli.terminal.console import SafeConsole, make_console, say
from cli.terminal.tables import as_plain
from configs.comparison import Comparison, load_comparison
from configs.faults import ConfigFault
from configs.schema import FactoryConfig
from flows.compare.picture import draw
from flows.compare.record import finish, log_file, picture_file, record_runs
from flows.compare.results import Results, combined, from_store, keep, kept
from flows.compare.tables import tables
from flows.faults import StageFault
from flows.server.process import prefect_server
from storage.store import Store
from tasks.preflight import preflight

COLUMNS = 100
"""Width of the tables where there is no terminal."""
Missing = dict[int, dict[str, FactoryConfig]]


@dataclass(frozen=True)
class Asked:
    """The options of the command."""

    file: Path | None
    arms: str = ""
    seeds: str = ""
    overrides: Sequence[str] = ()
    jobs: int = 1
    report: bool = False
    kept: Sequence[Path] = ()
    save: Path | None = None
    out: Path | None = None
    reference: str = ""
    debug: bool = False


def compare(asked: Asked) -> bool:
    """Run or report a comparison. Returns whether all arms ended well. Raises the faults of every layer."""
    console = make_console(width=None if sys.stdout.isatty() else COLUMNS)
    if asked.kept:
        _report_kept(console, asked)
        return True
    if asked.file is None:
        raise ConfigFault(
            "name a comparison file, e.g. configs/compare/quickstart.yaml, or a kept one with --from"
        )
    whole = load_comparison(asked.file, asked.overrides, seeds_of(asked.seeds))
    local(whole.data_dir, "steca compare")
    wanted = whole.part(_listed(asked.arms))
    if asked.reference:
        whole.part([asked.reference])  # refused now, not after hours
    if asked.report:
        results = _finished(whole)
        failed: Failures = {}
    else:
        failed = _run(console, whole, wanted, asked)
        results = finish(whole).part(seeds=whole.seeds)
    if results.episodes:
        _print(console, results, asked, picture_file(whole), store=Store(whole.data_dir))
    for (arm, seed), error in failed.items():
        say(console, f"failed: {arm}, seed {seed}: {error}")
    return not failed


def _finished(comparison: Comparison) -> Results:
    """What is finished of a comparison. Raises StageFault where nothing is."""
    store = Store(comparison.data_dir)
    results = from_store(store, comparison) if store.published.exists() else None
    if not results or not results.episodes:
        source, folder = comparison.source, comparison.data_dir
        raise StageFault(f"nothing of {source} is finished in {folder} yet: run it without --report")
    return results


def seeds_of(words: str) -> int | tuple[int, ...]:
    """What --seeds means: a number of seeds, or a list ("3," has one). () where it is not given. Raises
    ConfigFault."""
    try:
        given = [int(word) for word in words.split(",") if word.strip()]
    except ValueError:
        given = [-1]
    if any(number < 0 for number in given) or (given == [0] and "," not in words):
        raise ConfigFault(f"--seeds {words}: give a number of seeds, e.g. 3, or a list, e.g. 2,3,4")
    return given[0] if given and "," not in words else tuple(given)


def _listed(words: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in words.split(",") if word.strip())


def _run(console: SafeConsole, whole: Comparison, wanted: Comparison, asked: Asked) -> Failures:
    """Run what is not finished yet. Returns the errors."""
    for arm in wanted.arms:
        preflight(wanted.config(arm, wanted.seeds[0]), quick=True)
    check_writable(whole.data_dir)
    record_runs(whole, wanted)
    missing = _missing(console, wanted)
    runs = sum(map(len, missing.values()))
    total = len(wanted.arms) * len(wanted.seeds)
    say(console, f"{total - runs} of {total} runs are finished already" if runs < total else f"{total} runs")
    if not missing:
        return {}
    logs = {seed: log_file(whole, seed) for seed in missing}
    say(
        console,
        f"starting; what the stages say is in {log_file(whole, next(iter(missing))).parent}/seed-*.log",
    )
    leave_on_interrupt(patience=GRACE_SECONDS + 5)
    with prefect_server(whole.data_dir), make_display(console) as display:
        return run_seeds(missing, asked.jobs, logs, display, asked.debug)


def _missing(console: SafeConsole, wanted: Comparison) -> Missing:
    """By seed, the arms whose results are not all in the cache. The others are recorded as they are found."""
    from flows.runs.from_cache import run_from_cache

    missing: Missing = {}
    for seed in wanted.seeds:
        for arm in wanted.arms:
            config = wanted.config(arm, seed)
            if run_from_cache(config, log=lambda line: say(console, line)) is None:
                missing.setdefault(seed, {})[arm] = config
    return missing


def _report_kept(console: SafeConsole, asked: Asked) -> None:
    seeds = seeds_of(asked.seeds)
    results = combined([kept(file) for file in asked.kept])
    chosen = results.seeds[:seeds] if isinstance(seeds, int) else seeds
    _print(console, results.part(seeds=chosen), asked, asked.kept[0].with_suffix(".svg"))


def _print(
    console: SafeConsole, results: Results, asked: Asked, picture: Path, store: Store | None = None
) -> None:
    shown = results.against(asked.reference) if asked.reference else results
    if asked.report or asked.kept:
        shown = shown.part(_listed(asked.arms))
    for table in tables(shown):
        say(console, table.title)
        console.print(as_plain(table))
        say(console, "")
    if shown.header.reference not in shown.rows:
        say(console, f"{shown.header.reference}, the reference, is not finished: there are no differences")
    file = asked.out or picture
    if asked.out or not store:  # else the picture is that of `finish`, with all seeds that are recorded
        draw(shown, file)
    if file.exists():
        say(console, f"picture  {file}")
    if store:
        say(console, f"store    {store.published} (comparisons, comparison_success, comparison_differences)")
    if asked.save:
        say(console, f"kept     {keep(results, asked.save)}")
    if said := headline(shown):
        say(console, f"result   {said}")
    for command in next_commands(shown, store) if store else ():
        say(console, f"next     {command}")
