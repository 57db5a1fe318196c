"""The Prefect server of a run is killed and started again in the middle of it."""

from __future__ import annotations

import time

from benchmarks.faults.bench import Bench
from benchmarks.faults.outcome import Outcome
from benchmarks.faults.running import begun
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
                before = begun(trial.data_dir, stage)
                running = running or trial.start(PREFECT_API_URL=address)
                came = running.until(
                    lambda stage=stage, before=before: begun(trial.data_dir, stage) != before
                )
            away = AWAY[place % len(AWAY)]
            trial.hit(
                f"in {stage}: away for {away:.0f} s and its start{'' if came else ' (the run had ended)'}"
            )
            time.sleep(away)
            if running.process.poll() is not None:
                done, running = running.ended(), None
                if done.traceback or not (done.one_line or done.code == 0):
                    trial.problem(f"ended with {done.code}: {(done.said + done.errors)[-1500:]}")
        with prefect_server(home, port):
            if running:
                done = running.ended()
                if done.traceback or not (done.one_line or done.code == 0):
                    trial.problem(f"ended with {done.code}: {(done.said + done.errors)[-1500:]}")
            trial.complete(PREFECT_API_URL=address)
