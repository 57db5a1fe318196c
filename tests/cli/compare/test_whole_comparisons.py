"""Whole comparisons as commands: killed in the middle, continued, extended by an arm. Slow: `make processes`."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from configs.comparison import load_comparison
from configs.stages import STAGES
from flows.runs.run import run_id
from storage.runs import RunFolder, StageState
from storage.store import Store
from tests.support.comparisons import ARMS, NONE, comparison_file
from tests.support.tiny_factory import ROOT, STECA

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@contextmanager
def started(file: Path, data_dir: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The command in a process group of its own, without a Prefect server of the tests."""
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [*STECA, "compare", str(file), "--set", f"data_dir={data_dir}", "--jobs", "2", *options]
    process = subprocess.Popen(
        command, cwd=ROOT, env=surroundings, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(file: Path, data_dir: Path, *options: str) -> tuple[int, str]:
    with started(file, data_dir, *options) as process:
        output = process.communicate(timeout=800)[0]
        return process.returncode, output


def states(data_dir: Path) -> dict[tuple[str, str], StageState]:
    runs = [path.name for path in (data_dir / "runs").glob("*")]
    return {(run, state.stage): state for run in runs for state in RunFolder(data_dir, run).stages()}


def completed(data_dir: Path) -> dict[tuple[str, str], StageState]:
    return {key: state for key, state in states(data_dir).items() if state.status == "completed"}


def wait_until_some_are_done(process: subprocess.Popen[str], data_dir: Path, stages: int) -> None:
    deadline = time.monotonic() + 300
    while len(completed(data_dir)) < stages:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=lambda number: number.name)
def test_it_is_ended_in_the_middle_and_goes_on(number: signal.Signals, tmp_path: Path) -> None:
    file, data_dir = comparison_file(tmp_path), tmp_path / "data"
    with started(file, data_dir) as process:
        wait_until_some_are_done(process, data_dir, stages=9)
        family = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, number)
        output = process.communicate(timeout=120)[0]
        assert not psutil.wait_procs(family, timeout=60)[1], "a process of it is left"
    if number == signal.SIGINT:
        assert process.returncode == 128 + number
        assert "the same command resumes where this one stopped" in output
        assert "Traceback" not in output
    before = completed(data_dir)
    assert len(before) < 4 * len(STAGES)
    code, output = ended(file, data_dir)
    assert code == 0, output
    after = completed(data_dir)
    assert len(after) == 4 * len(STAGES)
    for key, state in before.items():
        assert after[key].batches == state.batches, key
        assert after[key].cached_batches in (state.cached_batches, len(state.batches)), (
            f"{key} was done again"
        )
        assert after[key].seconds == state.seconds, key
    rates = Store(data_dir).query("SELECT arm, seeds FROM comparison_success GROUP BY ALL ORDER BY arm")[1]
    assert rates == [("SFT", 2), ("STeCa", 2), ("warm-up", 2)]


def test_one_more_arm_runs_that_arm_only(tmp_path: Path) -> None:
    """And an arm that fails is reported at the end, when the others are done."""
    data_dir = tmp_path / "data"
    code, output = ended(comparison_file(tmp_path), data_dir)
    assert code == 0, output
    assert "result   unseen tasks won: STeCa " in output
    assert f'sql --data-dir {data_dir} "FROM success_change"' in output
    before = states(data_dir)
    more = ARMS | {
        "RFT": {"datasets": NONE | {"explored_successes": True}, "training.steps": 4},
        "diverges": {"training.learning_rate": 1e30},
    }
    file = comparison_file(tmp_path, arms=more)
    code, output = ended(file, data_dir, "--arms", "diverges,RFT")
    assert code == 1, output
    assert output.count("failed: diverges, seed") == 2
    assert "training has diverged" in output
    assert "Traceback" not in output
    after = states(data_dir)
    assert {key: after[key] for key in before} == before, "the other arms are as they were"
    comparison = load_comparison(file, data_dir=data_dir)
    for seed in comparison.seeds:
        new = {stage: after[run_id(comparison.config("RFT", seed)), stage] for stage in STAGES}
        assert all(state.status == "completed" for state in new.values())
        shared = [
            new[stage] for stage in STAGES[:5] if stage != "rewards"
        ]  # other turns are scored without D_s
        assert all(state.cached_batches == len(state.batches) for state in shared)
        assert RunFolder(data_dir, run_id(comparison.config("RFT", seed))).spent().rollouts == 0
    for arm in ("SFT", "STeCa", "RFT", "warm-up"):  # the table has the earlier arms too
        assert any(line.startswith(f"{arm} ") for line in output.splitlines()), output
    code, output = ended(file, data_dir, "--arms", "RFT,SFT")
    assert code == 0
    assert "4 of 4 runs are finished already" in output
    assert "Traceback" not in (data_dir / "comparisons" / "pair" / "seed-0.log").read_text().replace(
        "Traceback", "", 1
    ), "only that of the training that diverged"
