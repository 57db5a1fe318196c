"""The Prefect server of a run is killed and started again in the middle of it."""

from __future__ import annotations

import time

from benchmarks.faults.bench import Bench, Trial
from benchmarks.faults.outcome import Outcome
from benchmarks.faults.running import Ended
from tests.support.serving import free_port, prefect_server

AWAY = (0.0, 10.0)
"""Seconds for which the server is away, in turns."""


def prefect_restarts(bench: Bench, outcome: Outcome) -> None:
    """A run either goes on, or ends with one line and goes on when it is started again."""
    places = (
        ("rewards",) if bench.short else ("demonstrate", "warmup", "explore", "rewards", "train", "evaluate")
    )
    bench.undisturbed()
    port = free_port()
    address = f"http://127.0.0.1:{port}/api"
    home = bench.new_folder("prefect-server")
    home.mkdir()
    with bench.trial(outcome) as trial:
        running = None
        for place, stage in enumerate(places):
            with prefect_server(home, port):
                begins = trial.begins(stage)
                running = running or trial.start(PREFECT_API_URL=address)
                running.until(begins)
            away = AWAY[place % len(AWAY)]
            trial.hit(f"in {stage}: away for {away:.0f} s and its start")
            time.sleep(away)
            if running.process.poll() is not None:
                _look_at(running.ended(), trial)
                running = None
        with prefect_server(home, port):
            if running:
                _look_at(running.ended(), trial)
            trial.complete(environment={"PREFECT_API_URL": address})


def _look_at(done: Ended, trial: Trial) -> None:
    trial.bench.say(f"  the run ended with {done.code}: {done.errors.strip()[:200]}")
    if done.traceback or not (done.one_line or done.code == 0):
        trial.problem(f"ended with {done.code}: {(done.said + done.errors)[-1500:]}")
