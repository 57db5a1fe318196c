"""What follows a stage: the later stages of the run that are missing or outdated, and how to make them."""

from __future__ import annotations

import os

from configs.stages import round_of, schedule
from flows.artifacts.markdown import code, inline, joined, table
from flows.artifacts.page import RunSource, titled
from flows.reporting.progress import in_batches
from flows.summary.table import Table
from flows.wording import in_folder

PAGES = "STECA_PAGES"
"""Environment variable: the address at which people open the pages of the store. `steca serve` sets it to that of its
own pages; where others serve them, whoever starts it does."""


def pages_address() -> str:
    """The address of the pages, "" where it is not known."""
    address = os.environ.get(PAGES, "")
    return f"{address.rstrip('/')}/" if address else ""


def look_at_it(source: RunSource) -> str:
    """Where the run and its trajectories can be looked at."""
    run, folder = source.run_id, in_folder(source.folder.root)
    if pages := pages_address():
        trajectories, report = f"{pages}#/run/{run}/trajectories", f"{pages}runs/{run}/report.html"
        return (
            f"**Look at it**: [the run]({pages}#/run/{run}), [its trajectories]({trajectories}), "
            f"[a report as one file]({report})."
        )
    return (
        f"**Look at it**: {code(f'steca view{folder}')} shows the run and its trajectories in the browser, "
        f"{code(f'steca report {run}{folder}')} writes this page as one file."
    )


def what_follows(source: RunSource, stage: str = "", round: int = 1) -> str:
    """The section about the stages after `stage`, or about all stages. Raises StorageFault."""
    rows, first = list[tuple[str, ...]](), list[tuple[str, int]]()
    for later, at in _after(source.rounds, stage, round):
        state = source.stage(later, at)
        if state is not None and state.status == "completed":
            continue
        first = first or [(later, at)]
        status = "still to come" if state is None else state.status
        rows.append((titled(later, at), status, (state.error or "") if state else ""))
    if not rows:
        which = "later stages" if stage else "stages"
        return f"## What follows\n\nNothing: the {which} of this run are complete and up to date."
    what = Table("", ("stage", "status", "why"), (), tuple(rows))
    return joined("## What follows", table(what), _how(source, *first[0]))


def _after(rounds: int, stage: str, round: int) -> list[tuple[str, int]]:
    stages = schedule(rounds)
    return stages[stages.index((stage, round)) + 1 :] if (stage, round) in stages else stages


def _how(source: RunSource, stage: str, round: int) -> str:
    """How to make them, in the UI and on the command line."""
    of_round = f", {code('round')} = {code(str(round))}" if round_of(stage, round) else ""
    option = f" --round {round}" if round_of(stage, round) > 1 else ""
    command = f"steca stage {stage} --run {source.run_id}{option} --following{in_folder(source.folder.root)}"
    return (
        f"A run of the factory goes on with these by itself. To make them after a single stage was run, start the "
        f"deployment {code(f'rerun-{stage}')} with {code('run')} = {code(source.run_id)}{of_round} and "
        f"{code('following')} on, or use the command {code(command)}. Everything before is kept."
    )


def state_in_words(source: RunSource, stage: str, round: int) -> str:
    """How far a stage is, in a line or two. Raises StorageFault."""
    state = source.stage(stage, round)
    if state is None:
        return "This stage has not run yet."
    took = f" in {state.seconds:,.1f} s" if state.seconds is not None and state.status == "completed" else ""
    cached = f"{in_batches(len(state.batches))}, {state.cached_batches:,} from the cache"
    line = f"**{inline(state.status)}**{took}: {cached}."
    if state.stopped:
        line += f" **Ended early:** {inline(state.stopped)}. The same run resumes under a larger budget."
    why = "Why" if state.status == "outdated" else "Error"
    return joined(line, f"{why}: {inline(state.error)}" if state.error else "")
