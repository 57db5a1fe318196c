"""The page of a finished run: what came out of it, from what, and where it lies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from configs.stages import schedule
from flows.artifacts.follows import look_at_it, what_follows
from flows.artifacts.lineage import lineage
from flows.artifacts.markdown import inline, joined, table
from flows.artifacts.page import Page, RunSource, page_key, stage_key, titled
from flows.artifacts.pictures import gap_picture, success_picture, training_picture
from flows.artifacts.publish import publish
from flows.artifacts.queries import ask
from flows.curves import trainings_of
from flows.runs.run import skipped_stages
from flows.summary.success import change_table, changes, rates, success_table
from flows.summary.work import costs_table, counts_table, stages_table

CACHED = """> **Nothing new was made.** Every result came from the cache, because a run with the same settings and seed
> was finished before. A schedule that should make new data needs another seed each time: set `seed` to `next`."""


def publish_run(root: Path, run_id: str, cached: bool) -> None:
    """Publish the page of a run in the current flow run. `cached`: everything came from the cache. Does nothing outside
    of a flow run, and never fails: a log line says why there is no page."""
    publish(lambda: run_page(RunSource(root, run_id), cached), f"run {run_id}")


def run_page(source: RunSource, cached: bool = False) -> Page:
    """Success, change, lineage, verdicts, trainings, counts, stages, costs and queries. Raises StorageFault."""
    with source.store.opened():
        return _page(source, cached)


def _page(source: RunSource, cached: bool) -> Page:
    store, run = source.store, source.run_id
    headline = [*_headline(source)]
    return Page(
        page_key(run, "results"),
        _in_short(source),
        joined(
            f"# Results of {inline(run)}",
            CACHED if cached else "",
            "\n".join(f"- {inline(sentence)}" for sentence in headline),
            look_at_it(source),
            _section("Success", success_picture(rates(store, run)), table(success_table(store, run)),
                     table(change_table(store, run))),
            _section("Where it comes from", lineage(source)),
            _section("Verdicts", gap_picture(source)),
            _section("Trainings", _trainings(source)),
            _section("Work", *_work(source)),
            what_follows(source),
            ask(source),
        ),
    )  # fmt: skip


def _section(title: str, *parts: str) -> str:
    """A heading and its parts; "" where all parts are empty."""
    return joined(f"## {title}", *parts) if any(parts) else ""


def _headline(source: RunSource) -> Iterator[str]:
    """The success of the last round's policy beside that of the warm-up policy, a sentence for each split."""
    tested = [each for each in rates(source.store, source.run_id) if each.start == "beginning"]
    before = {each.split: each for each in tested if each.role == "warmup"}
    last = {each.split: each for each in tested if each.role == "trained"}  # rounds come in order
    paired = {
        (each.split, each.round): each
        for each in changes(source.store, source.run_id)
        if each.start == "beginning"
    }
    for split, trained in last.items():
        sentence = f"{split}: {_percent(trained.rate)} of {trained.n:,} tasks won"
        change = paired.get((split, trained.round))
        if split in before and change:
            sentence += (
                f", {_percent(before[split].rate)} before training"
                f" (change {change.change:+.3f}, 95 % interval {change.low:+.3f} to {change.high:+.3f})"
            )
        yield f"{sentence}."


def _work(source: RunSource) -> Iterator[str]:
    store, run = source.store, source.run_id
    yield table(stages_table(store, run, skipped_stages(source.folder)))
    yield f"Their pages: {', '.join(_links(source))}."
    if costs := costs_table(store, run):
        yield table(costs)
    yield f"<details><summary>Counts</summary>\n\n{table(counts_table(store, run))}\n\n</details>"


def _links(source: RunSource) -> Iterator[str]:
    """Links to the pages of the stages that were started. They are relative: so they lead on in either UI."""
    for stage, round in schedule(source.rounds):
        if source.stage(stage, round) is not None:
            yield f"[{inline(titled(stage, round))}](../key/{stage_key(source.run_id, stage, round)})"


def _trainings(source: RunSource) -> str:
    """The curves of the first and of the last training: more would not be readable side by side."""
    trainings = trainings_of(source.folder)
    return training_picture([*trainings[:1], *trainings[1:][-1:]])


def _in_short(source: RunSource) -> str:
    """The last policy's success from the beginning, in a few letters: lists show no more."""
    tested = [each for each in rates(source.store, source.run_id) if each.start == "beginning"]
    last = {each.split: each.rate for each in tested if each.role == "trained"}
    won = ", ".join(f"{split} {_percent(rate)}" for split, rate in last.items())
    return f"{won or 'nothing tested'}: results of run {source.run_id}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
