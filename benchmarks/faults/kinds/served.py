"""The server of a served policy is killed in mid-stage: a stand-in for vLLM that really serves the checkpoint."""

from __future__ import annotations

import json
import sys

import psutil

from benchmarks.faults.bench import Bench, Trial
from benchmarks.faults.outcome import Outcome
from benchmarks.faults.running import Running

STAND_INS = ("tests.support.vllm_stand_in", "tests.vllm_stand_in")  # the second in version 0.3.0
AT_ONCE = 4
"""Batches of a served stage that run beside each other."""
RESTARTS = 3
"""So often a run starts a dead server again, until it ends with one line."""


def served(bench: Bench, outcome: Outcome) -> None:
    """A run starts its server again, so often; then it ends with one line, and goes on when it is started again."""
    module = next(each for each in STAND_INS if (bench.checkout / f"{each.replace('.', '/')}.py").exists())
    settings = (
        "policy.engine=openai",
        f"execution.server.command={json.dumps([sys.executable, '-m', module])}",
    )
    with bench.trial(outcome, *settings) as trial:
        for stage, kills in (("explore", 1),) if bench.short else (("explore", 2), ("rewards", RESTARTS + 1)):
            begins = trial.begins(stage)
            running = trial.start()
            running.until(begins)
            for _ in range(kills):
                if _kill_server(running):
                    trial.hit(f"in {stage}: the policy's server is killed", most=AT_ONCE)
            _end(trial, running)
        trial.complete()


def _kill_server(running: Running) -> bool:
    """Kill the server once it runs; False where the run ends before."""
    found: list[psutil.Process] = []

    def there() -> bool:
        found[:] = [
            one
            for one in _below(running)
            if "vllm_stand_in" in _command(one) and "guard.py" not in _command(one)
        ]
        return bool(found)

    if not running.until(there):
        return False
    for process in found:
        process.kill()
    psutil.wait_procs(found, timeout=30)
    return True


def _below(running: Running) -> list[psutil.Process]:
    try:
        return psutil.Process(running.process.pid).children(recursive=True)
    except psutil.Error:
        return []


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _end(trial: Trial, running: Running) -> None:
    done = running.ended()
    trial.bench.say(f"  ended with {done.code}: {done.errors.strip()[:200]}")
    if done.traceback or (done.code and not done.errors.startswith("error: ")):
        trial.problem(f"ended with {done.code}: {(done.said + done.errors)[-1500:]}")
