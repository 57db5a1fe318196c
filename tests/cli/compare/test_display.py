"""What `steca compare` shows while it runs."""

from __future__ import annotations

import io
import json

import pytest

from cli.compare.display import ComparisonDisplay, MovingLines, position
from cli.compare.worker import Event, EventReporter
from cli.terminal.console import make_console


def events(out: io.StringIO) -> list[Event]:
    return [Event.model_validate(json.loads(line)) for line in out.getvalue().splitlines()]


def test_progress_is_told_in_what_the_stage_counts() -> None:
    out = io.StringIO()
    reporter = EventReporter("STeCa", out)
    reporter.stage_started("train", 1, 2)
    reporter.batch_done(cached=False)
    reporter.progressed(142, 500, "training steps", 1)
    assert [position(event) for event in events(out)] == [
        "0/2 batches", "1/2 batches", "1/2 batches, 142 of 500 training steps of the next",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [ComparisonDisplay, MovingLines])
def test_both_displays_show_it(kind: type[ComparisonDisplay]) -> None:
    out = io.StringIO()
    with kind(make_console(out, 140)) as display:
        display.shows(0, Event(arm="SFT", kind="running", stage="starting"))
        display.shows(
            1, Event(arm="SFT", kind="running", stage="warmup", done=0.3, total=1, within="3 of 9 steps")
        )
    assert "seed 0, SFT" in out.getvalue()
    assert "0/1 batches, 3 of 9 steps of the next" in out.getvalue()
