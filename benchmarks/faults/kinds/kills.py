"""kill -9 at random points of every stage: somewhere inside, while a shard is written, as soon as a batch is written,
while the store is filled or published."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.faults.bench import Bench, Trial
from benchmarks.faults.outcome import Outcome
from benchmarks.faults.running import Running, stages, status
from configs.stages import STAGES

MOMENTS = ("inside", "a shard is written", "a batch is written", "the store is published")
SHORT = tuple(stage for stage in STAGES if stage != "calibrate")
SERIES = 8
"""Runs in the full form. Each is killed once in each stage: 56 kills."""


def kills(bench: Bench, outcome: Outcome) -> None:
    """Each run is killed in one stage after the other, every time at another moment."""
    for series in range(1 if bench.short else SERIES):
        with bench.trial(outcome) as trial:
            for place, stage in enumerate(SHORT if bench.short else STAGES):
                _kill(trial, stage, MOMENTS[(series + place) % len(MOMENTS)])
            trial.complete()


def _kill(trial: Trial, stage: str, moment: str) -> None:
    folder = trial.data_dir
    begins = trial.begins(stage)
    running = trial.start()
    if not running.until(begins):
        trial.problem(f"ended before {stage}: {running.ended().errors[-500:]}")
        return
    if moment == "inside":
        seconds = stages(trial.undisturbed.data_dir)[stage].get("seconds") or 1.0
        time.sleep(trial.bench.random.uniform(0, float(str(seconds))))
    else:
        _wait_for(moment, running, folder, stage)
    if running.kill():
        left = len(_incomplete(folder))
        trial.hit(f"in {stage}: {moment}{f', {left} incomplete files left' if left else ''}")


def _wait_for(moment: str, running: Running, folder: Path, stage: str) -> None:
    """Until the moment comes, or the stage is over."""
    written = len(_manifests(folder))
    looks = {
        "a shard is written": lambda: list(folder.glob("shards/*/.writing-*")),
        "a batch is written": lambda: len(_manifests(folder)) > written,
        "the store is published": lambda: (
            (folder / "store" / "working.duckdb.wal").exists() or list(folder.glob(".publishing-*"))
        ),
    }
    running.until(lambda: looks[moment]() or status(folder, stage) == "completed")


def _manifests(folder: Path) -> list[Path]:
    return list(folder.glob("shards/*/*.json"))


def _incomplete(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.name.startswith((".writing-", ".publishing-"))]
