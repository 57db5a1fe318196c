"""Something is said at least every few seconds, also while nothing is finished."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar

import pytest

from flows.reporting.progress import LineReporter


def wait_for(something: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not something():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_stage_that_finishes_nothing_still_says_how_far_it_is() -> None:
    said: list[str] = []
    reporter = LineReporter(said.append, every_seconds=0.05)
    reporter.stage_started("warmup", 1, 1)
    reporter.progressed(300, 1500, "training steps", 1)
    wait_for(lambda: len(said) >= 4)
    reporter.stage_ended("done")
    assert said[0] == "warmup: 1 batch"
    assert "warmup: 0/1 batches, 300 of 1,500 training steps of the next, after 0.0 min" in said
    assert said[-1].startswith("warmup: done after ")


def test_nothing_is_said_after_the_end() -> None:
    said: list[str] = []
    reporter = LineReporter(said.append, every_seconds=0.05)
    reporter.stage_started("explore", 2, 3)
    wait_for(lambda: len(said) >= 2)
    reporter.stage_ended("stopped")
    assert said[-1].startswith("explore (round 2): stopped after ")
    count = len(said)
    time.sleep(0.5)
    assert len(said) == count


def test_a_stage_that_was_stopped_says_how_much_is_finished() -> None:
    said: list[str] = []
    reporter = LineReporter(said.append)
    reporter.stage_started("train", 1, 2)
    reporter.batch_done(cached=True)
    reporter.stage_ended("stopped")
    assert said[-1].endswith(" s, 1 of 2 batches finished (1 from the cache)")


@pytest.mark.parametrize(("done", "within", "expected"), [(0, None, 0), (1, None, 0.25), (3, (1, 2), 0.875)])
def test_the_finished_share_counts_parts_of_a_batch(
    done: int, within: tuple[int, int] | None, expected: float
) -> None:
    reporter = LineReporter(lambda line: None)
    reporter.stage_started("explore", 1, 4)
    for _ in range(done):
        reporter.batch_done(cached=False)
    if within:
        reporter.progressed(*within, "episodes", 1)
    assert reporter.fraction == expected
    reporter.stage_ended("done")


def test_what_was_spent_is_said_too() -> None:
    said: list[str] = []
    reporter = LineReporter(said.append, every_seconds=0.05)
    reporter.stage_started("rewards", 1, 2)
    reporter.spent_so_far("70 rollouts")
    wait_for(lambda: any(line.endswith("; 70 rollouts") for line in said))
    reporter.stage_ended("done")


def test_it_is_said_in_the_context_of_the_stage() -> None:
    """Prefect's settings are part of the context: without them its client would start a server of its own."""
    where: ContextVar[str] = ContextVar("where", default="nowhere")
    where.set("here")
    said: list[str] = []
    reporter = LineReporter(lambda line: said.append(where.get()), every_seconds=0.05)
    reporter.stage_started("warmup", 1, 1)
    wait_for(lambda: len(said) >= 3)
    reporter.stage_ended("done")
    assert set(said) == {"here"}
