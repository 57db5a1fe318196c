"""What workers share is made once, found by their controller, and made again only if it could not be made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.shared import SharedFolder, listing, stop_process


@pytest.fixture
def as_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")


def test_what_is_shared_is_made_by_the_first_only(tmp_path: Path, as_worker: None) -> None:
    made: list[Path] = []

    def make(folder: Path) -> str:
        made.append(folder)
        return f"made {len(made)}"

    first, second = SharedFolder(tmp_path / "gw0"), SharedFolder(tmp_path / "gw1")
    assert [worker.once("thing", make) for worker in (first, second)] == [("made 1", True), ("made 1", False)]
    assert made[0].is_dir()


def test_a_controller_finds_what_its_workers_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as worker:
        worker.setenv("PYTEST_XDIST_WORKER", "gw0")
        SharedFolder(tmp_path / "gw0").once("thing", lambda folder: "made")
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    assert SharedFolder(tmp_path).made("thing") == "made"
    assert SharedFolder(tmp_path).made("another") is None


def test_what_could_not_be_made_is_tried_again(tmp_path: Path, as_worker: None) -> None:
    def fails(folder: Path) -> str:
        raise OSError("no room")

    shared = SharedFolder(tmp_path / "gw0")
    with pytest.raises(OSError, match="no room"):
        shared.once("broken", fails)
    assert shared.once("broken", str)[1]


def test_a_process_is_stopped_and_one_that_is_gone_is_no_error() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    stop_process(process.pid)
    assert process.poll() is not None
    stop_process(process.pid)


IDLE_PARENT = """
import subprocess, sys, time
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid, flush=True)
time.sleep(60)
"""


def test_a_process_whose_parent_does_not_collect_it_counts_as_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", IDLE_PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        stop_process(pid)
        assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        parent.kill()


def test_a_changed_file_is_noticed_and_a_lock_is_not(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text("one")
    before = listing(tmp_path)
    (tmp_path / ".lock").touch()
    assert listing(tmp_path) == before
    (tmp_path / "rows").write_text("three")
    assert listing(tmp_path) != before
