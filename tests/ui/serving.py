"""A `steca serve` of its own, as a person would start and stop it in a terminal."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import yaml

from configs.load import load_config
from flows.runs.run import run_id
from tests.support.prefect_api import Api
from tests.support.serving import free_port
from tests.support.shared import stop_process
from tests.support.tiny_factory import ROOT, STECA, TINY

QUICKSTART = "quickstart"
"""The deployment that the tests start. Its configuration is a tiny one; for pictures it is the real one."""
PICTURES = bool(os.environ.get("STECA_SCREENSHOTS"))
"""Whether the tests make the pictures of docs/operating.md: `make screenshots`."""
SECONDS = 1200 if PICTURES else 300
"""How long a run may take on a busy machine."""


def configurations(folder: Path) -> None:
    """The configurations that come with the project, where the quick start is one of seconds."""
    shutil.copytree(ROOT / "configs", folder, ignore=shutil.ignore_patterns("*.py", "__pycache__", "stages"))
    if not PICTURES:
        settings = yaml.safe_load(TINY.read_text()) | {"name": QUICKSTART}
        (folder / f"{QUICKSTART}.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))


@dataclass
class Serving:
    """`steca serve` in a folder: configurations in configs/, runs in data/, Prefect's database in prefect/."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def api(self) -> Api:
        return Api(f"{self.url}/api")

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "serve.log"

    def start(self) -> None:
        """Start it, and wait until all deployments are offered and ready."""
        command = [*STECA, "serve", "--port", str(self.port), "--data-dir", str(self.data_dir)]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "--configs", str(self.folder / "configs")],
                cwd=ROOT, stdout=output, stderr=subprocess.STDOUT,
                env=os.environ | {"PREFECT_HOME": str(self.folder / "prefect")},
                preexec_fn=_listen_to_ctrl_c,
            )  # fmt: skip
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            if "stop with Ctrl-C" in self.log.read_text() and self._ready():
                return
            time.sleep(0.5)
        raise AssertionError(f"steca serve offered nothing in time:\n{self.log.read_text()}")

    def ctrl_c(self) -> None:
        """Press Ctrl-C, and wait until the process and its server have ended."""
        assert self.process
        self.process.send_signal(signal.SIGINT)
        self.process.wait(120)
        deadline = time.monotonic() + 60
        while self._answers():
            assert time.monotonic() < deadline, f"the server is still there:\n{self.log.read_text()}"
            time.sleep(0.5)

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            stop_process(self.process.pid)

    def run_id(self, *changes: str) -> str:
        """Id of the run of the quick start with changed settings."""
        file = self.folder / "configs" / f"{QUICKSTART}.yaml"
        return run_id(load_config(file, [f"data_dir={self.data_dir}", *changes]))

    def page_of(self, deployment: str) -> str:
        """Path of a deployment's page in the UI."""
        return f"/deployments/deployment/{self.api.deployments()[deployment]['id']}"

    def _ready(self) -> bool:
        """Whether the server knows of all deployments that a process serves them now."""
        return {each["status"] for each in self.api.deployments().values()} == {"READY"}

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/api/health", timeout=5).is_success
        except httpx.TransportError:
            return False


def _listen_to_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored where the tests run in the background of a shell
