"""Ctrl-C ends a run at once, with one line, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from tiny_factory import ROOT, STECA, TINY


def _interruptible() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs inherit it ignored


@pytest.mark.parametrize("whole_group", [True, False], ids=["Ctrl-C", "kill -INT"])
def test_an_interrupted_run_ends_in_one_line_and_leaves_nothing_running(
    tmp_path: Path, whole_group: bool
) -> None:
    surroundings = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    process = subprocess.Popen(
        [*STECA, "run", "--config", str(TINY), "--set", f"data_dir={tmp_path}", "--set", "warmup.steps=100000"],
        cwd=ROOT, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True, preexec_fn=_interruptible,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 200
        while not list(tmp_path.glob("runs/*/stages/*-warmup.json")) and time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()[0].decode()
            time.sleep(0.2)
        time.sleep(2)
        family = psutil.Process(process.pid).children(recursive=True)
        assert family, "the temporary server is a child"
        (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
        output = process.communicate(timeout=60)[0].decode()
        assert process.returncode == 130, output
        assert output.count("the same command goes on where this one stopped") == 1
        assert "Traceback" not in output
        assert not psutil.wait_procs(family, timeout=20)[1]
    finally:
        process.kill()
