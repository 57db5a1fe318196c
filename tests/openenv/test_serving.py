"""Our worlds as OpenEnv servers: played by the package's own client, and accepted by its validation."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from environments.openenv.world import OpenEnv
from environments.template.world import House, World
from tests.support.openenv_package import (
    OURS,
    PACKAGE,
    THEIRS,
    answering,
    openenv,
    our_server,
    process,
    steca,
)
from tests.support.own_worlds import expert_actions
from tests.support.pages import ROOT
from tests.support.serving import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # `make openenv`
PYTHON = sys.executable
CLIENT = ROOT / "tests" / "openenv" / "client.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the tutorial's world."""
    steca(tmp_path, "world", "new", "parcel")
    return tmp_path


def driven(url: str, sessions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the package's client was answered in sessions at the same time."""
    done = subprocess.run(
        [str(PACKAGE / "python"), str(CLIENT), url],
        input=json.dumps(sessions), env=THEIRS, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def test_the_package_s_client_plays_our_server(folder: Path) -> None:
    tasks = World().tasks("unseen", 12, 0)
    sessions = [
        {"reset": {"split": "unseen", "index": index}, "actions": ["dance", *expert_actions(task)]}
        for index, task in enumerate(tasks)
    ]
    with our_server(folder, "parcel:World", "--tasks", "12") as (url, running):
        answers = driven(url, sessions)
        running.send_signal(signal.SIGTERM)
        running.wait(15)
    for task, wanted, answer in zip(tasks, sessions, answers, strict=True):
        house = House()
        told: list[Any] = [[house.reset(task, 0), True, None, False]]
        for action in wanted["actions"]:
            result = house.step(action)
            told.append([result.observation, result.valid, result.reward, result.done])
        assert answer["told"] == told
        assert answer["told"][-1][2:] == [1.0, True]
        assert answer["state"]["task_id"] == task.task_id
        assert answer["state"]["step_count"] == len(wanted["actions"])


def test_the_package_accepts_our_running_server(folder: Path) -> None:
    with our_server(folder, "parcel:World") as (url, _):
        code, said = openenv(folder, "validate", "--url", url)
        assert (code, "Verdict: PASS" in said, "FAIL" in said) == (0, True, False), said
    code, said = openenv(folder, "validate", "--url", url)
    assert (code, "Verdict: FAIL" in said) == (1, True)


def test_the_package_accepts_an_exported_folder_which_runs(folder: Path) -> None:
    said = steca(folder, "world", "export", "parcel:World", "--dir", "out", "--tasks", "7")
    assert "server/app.py" in said
    out = folder / "out"
    code, said = openenv(out, "validate", "--level", "static")
    assert (code, "PASS  static.manifest" in said, "Verdict: PASS" in said) == (0, True, True), said
    (folder / "parcel.py").unlink()  # the folder has its own
    port = free_port()
    with process(
        [PYTHON, "-m", "server.app", "--host", "127.0.0.1", "--port", str(port)], out, OURS
    ) as running:
        url = answering(f"http://127.0.0.1:{port}", running)
        assert len(OpenEnv({"url": url}).tasks("seen", 7, 0)) == 7
        code, said = openenv(out, "validate", "--url", url)
        assert code == 0, said
    broken: list[tuple[str, Any]] = [
        ("reward", {"range": [1.0, 0.0], "floor_margin": 0.1}),
        ("reward", {"range": [0.0, 1.0], "oracle_tolerance": 0.5, "floor_margin": 0.1}),
        ("capabilities", None),
    ]
    whole = (out / "openenv.yaml").read_text()
    for part, value in broken:
        manifest = yaml.safe_load(whole)
        manifest["validation"][part] = value
        (out / "openenv.yaml").write_text(yaml.safe_dump(manifest))
        code, said = openenv(out, "validate", "--level", "static")
        assert (code, "Verdict: FAIL" in said) == (1, True), said
    (out / "openenv.yaml").unlink()
    assert openenv(out, "validate", "--level", "static")[0] == 2


def test_a_port_in_use_and_a_folder_with_files_are_told(folder: Path) -> None:
    with our_server(folder, "parcel:World") as (url, _):
        port = url.rpartition(":")[2]
        said = steca(folder, "world", "serve", "parcel:World", "--port", port, fails=True)
        assert said.splitlines()[-1].startswith("error: ")
        assert "in use" in said
    assert "has files already" in steca(folder, "world", "export", "parcel:World", "--dir", ".", fails=True)
