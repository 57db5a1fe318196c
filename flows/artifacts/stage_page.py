"""The page of a finished stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from configs.stages import round_of
from flows.artifacts.follows import state_in_words, what_follows
from flows.artifacts.markdown import code, inline, joined
from flows.artifacts.page import Page, RunSource, stage_key, titled
from flows.artifacts.publish import publish
from flows.artifacts.queries import place
from flows.artifacts.stages import episodes, training, verdicts
from flows.runs.run import skipped_stages
from flows.wording import nothing_to_do

BODIES: dict[str, Callable[[RunSource, int], str]] = {
    body.__name__: body
    for body in (
        *(episodes.demonstrate, training.warmup, episodes.explore, verdicts.rewards),
        *(verdicts.calibrate, training.train, training.evaluate),
    )
}


def publish_stage(root: Path, run_id: str, stage: str, round: int) -> None:
    """Publish the page of a stage in the current flow run. Does nothing outside of one, and never fails: a log line
    says why there is no page."""
    publish(lambda: stage_page(RunSource(root, run_id), stage, round), f"stage {stage} of run {run_id}")


def stage_page(source: RunSource, stage: str, round: int) -> Page:
    """What the stage made, and what follows it. Raises StorageFault."""
    title = titled(stage, round)
    with source.store.opened():
        return Page(
            stage_key(source.run_id, stage, round),
            f"{_in_short(source, stage, round)}: {title} of run {source.run_id}",
            joined(
                f"# {inline(title)}",
                f"Run {code(source.run_id)}. {state_in_words(source, stage, round)}",
                _body(source, stage, round),
                what_follows(source, stage, round),
                place(source),
            ),
        )


def _in_short(source: RunSource, stage: str, round: int) -> str:
    state = source.stage(stage, round)
    if state is None:
        return "not run yet"
    return f"{state.status}, ended early" if state.stopped else state.status


def _body(source: RunSource, stage: str, round: int) -> str:
    if source.stage(stage, round) is None:
        return ""
    if (stage, round_of(stage, round)) in skipped_stages(source.folder):
        return f"{nothing_to_do('this run').capitalize()}."
    return BODIES[stage](source, round)
