"""Ctrl-C ends a run at once, with one line, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tiny_factory import ROOT, STECA, TINY

from tests.fake_openai import FakeOpenAI


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


REFLECT = """
import sys
from pathlib import Path
from configs.schema import CalibrationConfig
from configs.serving import EndpointConfig
from flows.interrupt import leave_on_interrupt
from models.endpoint import Endpoint
from models.llm_reflector import LLMReflector
from models.reflector import ReflectionRequest
from steca.types import Step
from tasks.ledger import Lasting, Ledger

leave_on_interrupt()
ledger = Ledger(Path(sys.argv[2]), {})
ledger.begin("b0")
where = EndpointConfig(base_urls=(sys.argv[1],), in_flight=5)
endpoint = Endpoint(where, None, "reflection", "m", Lasting(ledger, Path(sys.argv[2])), lambda _: "m")
step = Step("Thought: t\\nAction: look", "t", "look", "Nothing.", True, "deviation")
asked = [ReflectionRequest("do it", f"Room {i}.", (step,), "open box 1") for i in range(40)]
LLMReflector(endpoint, CalibrationConfig(reflector="llm", model="m"), lambda *_: []).reflect(asked)
"""


def test_answers_that_are_on_their_way_are_kept_when_a_run_is_interrupted(tmp_path: Path) -> None:
    with FakeOpenAI("m", latency=1.0) as server:
        process = subprocess.Popen(
            [sys.executable, "-c", REFLECT, server.url, str(tmp_path)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=_interruptible,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not server.requests and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=60)[0].decode()
        assert process.returncode == 130, output
        assert 0 < len(server.requests) < 40
        assert len(list(tmp_path.rglob("replies/*/*.json"))) == len(server.requests)
