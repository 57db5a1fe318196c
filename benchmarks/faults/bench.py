"""What all kinds of faults share: the commands of a checkout, its undisturbed runs, and trials in data folders."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from benchmarks.checkouts import HERE, environment_of, steca_of
from benchmarks.faults.outcome import Outcome
from benchmarks.faults.played import COUNTING, Played, played_in
from benchmarks.faults.rows import Rows, added, lost, rows_of
from benchmarks.faults.running import Ended, Running, begun

TINY = ("tests/support/tiny.yaml", "tests/tiny.yaml")  # the second in version 0.3.0
DELETE = re.compile(r"run file (\S+) is damaged.* delete it")
FORCED = re.compile(r"steca (stage \w+ --run \S+(?: --round \d+)? --force)")
SMALLER = ("warmup.steps=8",)


@dataclass(frozen=True)
class Undisturbed:
    """A run that nothing happened to."""

    data_dir: Path
    run: str
    rows: Rows
    played: Played


class Bench:
    """`short`: a few faults of each kind. `api`: the Prefect server that the commands use."""

    def __init__(self, checkout: Path, scratch: Path, api: str, short: bool, seed: int) -> None:
        self.checkout, self.scratch, self.api, self.short = checkout, scratch, api, short
        self.random = random.Random(seed)
        self._began = time.monotonic()
        self._numbers = count()
        self._undisturbed: dict[tuple[str, ...], Undisturbed] = {}

    @property
    def is_here(self) -> bool:
        """Whether this checkout's own version is tried."""
        return self.checkout == HERE

    def say(self, line: str) -> None:
        """Show progress."""
        print(f"{time.monotonic() - self._began:6.0f} s  {line}", file=sys.stderr, flush=True)

    def new_folder(self, name: str) -> Path:
        """A folder that does not exist yet, in one that does."""
        folder = self.scratch / f"{next(self._numbers):03}-{name}"
        folder.mkdir(parents=True)
        return folder / "data"

    def environment(self, data_dir: Path, **more: str) -> dict[str, str]:
        """A user's environment, in which what is played is counted."""
        mine = {k: v for k, v in environment_of(self.checkout).items() if not k.startswith("PREFECT_")}
        return {
            **mine,
            "PYTHONPATH": f"{COUNTING}{os.pathsep}{self.checkout}",
            "PLAYED": str(data_dir.parent / "played.log"),
            "OMP_NUM_THREADS": "1",
            "PREFECT_HOME": str(self.scratch / "prefect"),
            **({"PREFECT_API_URL": self.api} if self.api else {}),
            **more,
        }

    def run_command(self, data_dir: Path, overrides: Sequence[str] = ()) -> list[str]:
        """`steca run` of the tiny configuration."""
        config = next(name for name in TINY if (self.checkout / name).exists())
        sets = [part for each in (f"data_dir={data_dir}", *SMALLER, *overrides) for part in ("--set", each)]
        return [*steca_of(self.checkout), "run", "--config", config, *sets]

    def start(self, data_dir: Path, command: Sequence[str], **more: str) -> Running:
        log = data_dir.parent / f"command-{next(self._numbers):03}"
        return Running(command, self.checkout, self.environment(data_dir, **more), log)

    def undisturbed(self, *overrides: str) -> Undisturbed:
        """The run with these settings in a folder of its own. Raises RuntimeError where it does not complete."""
        if overrides not in self._undisturbed:
            self.say(f"an undisturbed run {' '.join(overrides)}".rstrip())
            data_dir = self.new_folder("undisturbed")
            done = self.start(data_dir, self.run_command(data_dir, overrides)).ended()
            if done.code:
                raise RuntimeError(f"the undisturbed run ended with {done.code}: {done.errors[-500:]}")
            run = next(data_dir.glob("runs/*/run.json")).parent.name
            played = played_in(data_dir.parent / "played.log")
            self._undisturbed[overrides] = Undisturbed(data_dir, run, rows_of(data_dir, run), played)
        return self._undisturbed[overrides]

    @contextmanager
    def trial(self, outcome: Outcome, *overrides: str, data_dir: Path | None = None) -> Iterator[Trial]:
        """A data folder in which faults happen, with a reader beside them. At its end the run must be complete."""
        undisturbed = self.undisturbed(*overrides)
        trial = Trial(self, outcome, undisturbed, overrides, data_dir or self.new_folder("trial"))
        with trial.read():
            yield trial
        trial.settle()
        shutil.rmtree(trial.data_dir, ignore_errors=True)


class Trial:
    """One data folder in which faults happen to a run."""

    def __init__(
        self,
        bench: Bench,
        outcome: Outcome,
        undisturbed: Undisturbed,
        overrides: Sequence[str],
        data_dir: Path,
    ) -> None:
        self.bench, self.outcome, self.undisturbed = bench, outcome, undisturbed
        self.data_dir, self.overrides = data_dir, tuple(overrides)
        self.expected = undisturbed.played
        self.tried = self.most = 0
        self._problems = len(outcome.problems)

    def hit(self, what: str, most: int = 1) -> None:
        """A fault has happened, after which up to `most` batches may be played again."""
        self.tried += 1
        self.most += most
        self.bench.say(f"{self.outcome.kind}: {what}")

    def problem(self, what: str) -> None:
        self.bench.say(f"PROBLEM: {what}")
        self.outcome.problems.append(what)

    def start(self, **more: str) -> Running:
        """The run's command."""
        return self.bench.start(self.data_dir, self.bench.run_command(self.data_dir, self.overrides), **more)

    def begins(self, stage: str) -> Callable[[], bool]:
        """A function that says whether the stage has begun since."""
        before = begun(self.data_dir, stage)
        return lambda: begun(self.data_dir, stage) != before

    def complete(self, tries: int = 1, environment: Mapping[str, str] | None = None) -> Ended:
        """Run the command until it completes; `tries`: so often it may be started. In between is done what a user does
        who is told of damage. Returns the last end."""
        given = dict(environment or {})
        for left in reversed(range(tries)):
            done = self.start(**given).ended()
            if done.code == 0:
                return done
            if done.traceback or not done.one_line:
                self.problem(f"ended with {done.code}, not in one line: {done.errors[-800:]}")
            if left:
                self._repair(done, given)
        self.problem(f"does not complete: {done.errors[-800:]}")
        return done

    def _repair(self, done: Ended, given: Mapping[str, str]) -> None:
        """Delete the file that the line says to delete; else `steca doctor`, and the training that it wants again."""
        self.bench.say(f"  {done.errors.strip()[-200:]}")
        if found := DELETE.search(done.errors):
            Path(found[1]).unlink()
            return
        where = ["--data-dir", str(self.data_dir)]
        steca = steca_of(self.bench.checkout)
        doctor = self.bench.start(self.data_dir, [*steca, "doctor", *where], COLUMNS="500", **given).ended()
        for again in dict.fromkeys(FORCED.findall(doctor.said)):
            self.bench.start(self.data_dir, [*steca, *again.split(), *where], **given).ended()

    @contextmanager
    def read(self) -> Iterator[None]:
        """A reader beside what happens inside."""
        env = {**self.bench.environment(self.data_dir), "PYTHONPATH": str(self.bench.checkout)}
        reader = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("reader.py")), str(self.data_dir)],
            cwd=self.bench.checkout, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            yield
        finally:
            said, _ = reader.communicate("end\n", timeout=120)
            met = json.loads(said or '{"reads": 0, "failed": 1, "first": ["the reader ended"]}')
            self.outcome.reads += met["reads"]
            self.outcome.failed_reads += met["failed"]
            if met["failed"]:
                self.problem(f"{met['failed']} of {met['reads']} reads failed: {met['first']}")

    def compare(self, undisturbed: Undisturbed | None = None) -> None:
        """The rows of the published store with those of an undisturbed run, by default the trial's own."""
        expected = undisturbed or self.undisturbed
        found = rows_of(self.data_dir, expected.run)
        gone, more = lost(expected.rows, found), added(expected.rows, found)
        self.outcome.lost += gone
        self.outcome.added += more
        if gone or more:
            self.problem(f"{gone} rows lost, {more} added in run {expected.run}")

    def settle(self) -> None:
        """Compare rows and work, and add all up. A problem that was met before is that of one fault; one that is met
        here, of all."""
        met = len(self.outcome.problems)
        self.compare()
        redone = played_in(self.data_dir.parent / "played.log") - self.expected
        if redone.batches > self.most:
            self.problem(f"{redone.batches} batches were played again, at most {self.most} were in flight")
        self.outcome.tried += self.tried
        self.outcome.most += self.most
        self.outcome.redone += redone
        if len(self.outcome.problems) == met:
            self.outcome.survived += max(0, self.tried - (met - self._problems))
