"""The process of one seed: `python -m cli.compare.worker JOB EVENTS`, two inherited file descriptors.

It reads the configurations of its arms as JSON from the first, runs them one after the other, and writes what happens
to the second, one JSON object a line. What it prints goes to the seed's log file. An arm that fails does not end it.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import IO, Literal

from pydantic import BaseModel

from cli.signals import leave_on_interrupt
from configs.schema import FactoryConfig
from flows.known_faults import FAULTS
from flows.reporting.progress import Ending, Reporter
from flows.server import environment
from flows.server.process import prefect_server


class Job(BaseModel):
    """The arms of one seed."""

    data_dir: Path
    debug: bool
    arms: dict[str, FactoryConfig]


class Event(BaseModel):
    """What happens to one arm. `stage` with `done` of `total` batches while it is running, and how far the next one is
    (`within`); `said`: the run's id when it is done, the error when it failed."""

    arm: str
    kind: Literal["running", "done", "failed"]
    stage: str = ""
    done: float = 0.0
    total: int = 0
    within: str = ""
    said: str = ""


class EventReporter(Reporter):
    """Reports the progress of an arm as events, and prints what the stages say of themselves."""

    def __init__(self, arm: str, out: IO[str]) -> None:
        self._arm, self._out = arm, out
        self._stage, self._done, self._total, self._sent = "", 0, 0, -1.0

    def stage_started(self, stage: str, round: int, batches: int) -> None:
        self._stage = stage if round < 2 else f"{stage} {round}"
        self._done, self._total, self._sent = 0, batches, -1.0
        self._send(0.0)

    def progressed(self, done: int, total: int, parts: str, batches: int) -> None:
        self._send(self._done + batches * done / max(total, 1), f"{done:,} of {total:,} {parts}")

    def batch_done(self, cached: bool) -> None:
        self._done += 1
        self._send(float(self._done))

    def log(self, line: str) -> None:
        print(
            f"{self._arm}{f', {self._stage}' if self._stage else ''}: {line}", flush=True
        )  # none has begun yet

    def spent_so_far(self, spent: str) -> None:
        """The report at the end has all costs."""

    def stage_ended(self, how: Ending) -> None:
        """The next stage's start says it."""

    def _send(self, done: float, within: str = "") -> None:
        """Not for every episode: only where it moves by a hundredth of a batch."""
        if done < self._sent or done >= self._sent + 0.01:
            self._sent = done
            send(
                self._out,
                Event(
                    arm=self._arm,
                    kind="running",
                    stage=self._stage,
                    done=done,
                    total=self._total,
                    within=within,
                ),
            )


def send(out: IO[str], event: Event) -> None:
    """Write one event."""
    out.write(event.model_dump_json() + "\n")
    out.flush()


def run(job: Job, out: IO[str]) -> None:
    """Run every arm. Raises StageFault where no Prefect server answers."""
    with prefect_server(job.data_dir):
        if not job.debug:
            environment.quiet()
        for arm, config in job.arms.items():
            send(out, Event(arm=arm, kind="running", stage="starting"))
            send(out, _ended(arm, config, EventReporter(arm, out)))


def _ended(arm: str, config: FactoryConfig, reporter: EventReporter) -> Event:
    from flows.factory import factory
    from flows.reporting.progress import reporting
    from tasks.prefect_internals import own_sigterm

    try:
        with reporting(reporter), own_sigterm():
            return Event(arm=arm, kind="done", said=factory(config))
    except Exception as error:
        traceback.print_exc()
        known = isinstance(error, FAULTS)
        return Event(arm=arm, kind="failed", said=str(error) if known else f"{type(error).__name__}: {error}")


def main(job: int, events: int) -> None:
    leave_on_interrupt()
    with os.fdopen(job, encoding="utf-8") as given, os.fdopen(events, "w", encoding="utf-8") as out:
        run(Job.model_validate_json(given.read()), out)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
