"""A worker of a pool disappears: `steca serve --pool` is killed while it runs a flow run, and another one comes."""

from __future__ import annotations

import signal
from typing import Any

import psutil

from benchmarks.faults.bench import SMALLER, Bench
from benchmarks.faults.outcome import Outcome, Skipped
from tests.support.prefect_api import wait_until
from tests.support.serving import Serve, serving, start_tiny

COUNTED = ("PYTHONPATH", "PLAYED", "PREFECT_HOME")
PLACES = ("warmup", "rewards", "evaluate")


def workers(bench: Bench, outcome: Outcome) -> None:
    """What the Prefect UI then shows is Crashed; Retry goes on where it stopped."""
    if not bench.is_here:
        raise Skipped("`steca serve --pool` of this checkout only")
    with bench.trial(outcome) as trial:
        environment = bench.environment(trial.data_dir)
        counted: dict[str, Any] = {name: environment[name] for name in COUNTED}
        run = ""
        for stage in PLACES[1:2] if bench.short else PLACES:
            with serving(trial.data_dir, bench.api, pool="workers", **counted) as serve:
                begins = trial.begins(stage)
                run = _retried(serve, run) if run else start_tiny(serve.api, trial.data_dir, *SMALLER)
                wait_until(begins)
                family = serve.end(signal.SIGKILL)
                if psutil.wait_procs(family, timeout=60)[1]:
                    trial.problem("processes of the killed worker are still there")
            trial.hit(f"in {stage}: the worker is killed")
        with serving(trial.data_dir, bench.api, pool="workers", **counted) as serve:
            _retried(serve, run)
            ended = serve.api.wait_for(run, "Completed", "Failed", seconds=600)
            if ended["name"] != "Completed":
                trial.problem(f"the flow run is {ended['name']}: {ended['message']}")
            serve.end(signal.SIGTERM)


def _retried(serve: Serve, run: str) -> str:
    serve.api.wait_for(run, "Crashed", seconds=120)
    serve.api.retry(run)
    return run
