"""A run that is told to end keeps the answers in flight (tests/cli/test_processes.py: it leaves no process)."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.fake_openai.server import FakeOpenAI
from tests.support.tiny_factory import ROOT


def _interruptible() -> None:
    for number in (
        signal.SIGINT,
        signal.SIGHUP,
    ):  # a shell's background jobs and nohup's inherit them ignored
        signal.signal(number, signal.SIG_DFL)


REFLECT = """
import sys
from pathlib import Path
from configs.calibration import CalibrationConfig
from configs.servers import EndpointConfig
from cli.signals import leave_on_interrupt
from models.client.endpoint import Endpoint
from models.reflectors.llm_reflector import LLMReflector
from models.reflectors.reflector import ReflectionRequest
from steca.types import Step
from tasks.call_log import BatchCallLog, SharedCallLog, logged_in

leave_on_interrupt()
call_log = BatchCallLog(Path(sys.argv[2]), {}, "b0")
where = EndpointConfig(base_urls=(sys.argv[1],), in_flight=5)
endpoint = Endpoint(where, None, "reflection", "m", SharedCallLog(Path(sys.argv[2])), lambda _: "m")
step = Step("Thought: t\\nAction: look", "t", "look", "Nothing.", True, "deviation")
asked = [ReflectionRequest("do it", f"Room {i}.", (step,), "open box 1") for i in range(40)]
with logged_in(call_log):
    LLMReflector(endpoint, CalibrationConfig(reflector="llm", model="m"), lambda *_: []).reflect(asked)
"""


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name
)
def test_answers_in_flight_are_kept_when_a_run_is_interrupted(number: signal.Signals, tmp_path: Path) -> None:
    with FakeOpenAI("m", latency=1.0) as server:
        process = subprocess.Popen(
            [sys.executable, "-c", REFLECT, server.url, str(tmp_path)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=_interruptible,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not server.requests and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(number)
        output = process.communicate(timeout=60)[0].decode()
        assert process.returncode == 128 + number, output
        assert 0 < len(server.requests) < 40
        assert len(list(tmp_path.rglob("replies/*/*.json"))) == len(server.requests)
