"""The clock steps back and forth, by hours, inside stages and between starts: with libfaketime (Debian: faketime)."""

from __future__ import annotations

import os
from itertools import cycle
from pathlib import Path

from benchmarks.faults.bench import Bench, Trial
from benchmarks.faults.outcome import Outcome, Skipped
from benchmarks.faults.running import Running
from configs.stages import STAGES

STEPS = ("-1h", "+2h", "+0", "-26h", "+49h")
LIBRARIES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1")


def clocks(bench: Bench, outcome: Outcome) -> None:
    """A step at the start of each stage; in the full form also runs that are killed and go on under another clock."""
    library = next((str(path) for each in LIBRARIES for path in Path("/").glob(each[1:])), None)
    if library is None:
        raise Skipped("libfaketime is not installed (apt-get install faketime)")
    for kill_in in (
        ((), ("rewards",)) if bench.short else ((), ("warmup", "rewards", "evaluate"), ("explore", "train"))
    ):
        with bench.trial(outcome) as trial:
            _stepped_run(trial, library, kill_in)


def _stepped_run(trial: Trial, library: str, kill_in: tuple[str, ...]) -> None:
    clock, steps = trial.data_dir.parent / "clock", cycle(STEPS)
    _set(clock, "+0")
    environment = {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    running = trial.start(**environment)
    for stage in STAGES:
        if not running.until(trial.begins(stage)):
            break
        step = next(steps)
        _set(clock, step)
        killed = stage in kill_in and running.kill()
        trial.hit(f"in {stage}: {step}{', killed and started again' if killed else ''}", most=int(killed))
        if killed:
            running = trial.start(**environment)
    _end(trial, running, environment)


def _end(trial: Trial, running: Running, environment: dict[str, str]) -> None:
    done = running.ended()
    if done.code or done.traceback:
        trial.problem(f"ended with {done.code}: {(done.said + done.errors)[-1500:]}")
        trial.complete(environment=environment)


def _set(clock: Path, step: str) -> None:
    """Written whole: the library reads the file at every look at the clock."""
    written = clock.with_name("clock.new")
    written.write_text(f"{step}\n")
    os.replace(written, clock)
