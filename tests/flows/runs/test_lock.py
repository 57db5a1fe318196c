"""One process at a time works on a run; who comes second waits, and whoever is inside already passes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

from flows.runs.lock import is_locked, lock_run
from storage.runs import RunFolder
from tests.support.tiny_factory import ROOT


def test_a_stage_inside_its_factory_passes_and_the_run_is_free_afterwards(tmp_path: Path) -> None:
    with lock_run(RunFolder(tmp_path, "run-1")):
        with lock_run(RunFolder(tmp_path, "run-1")):
            assert is_locked(RunFolder(tmp_path, "run-1"))
        assert is_locked(RunFolder(tmp_path, "run-1"))
        assert not is_locked(RunFolder(tmp_path, "run-2"))
    assert not is_locked(RunFolder(tmp_path, "run-1"))


def test_a_newcomer_says_what_it_waits_for_and_goes_on_when_the_first_is_done(tmp_path: Path) -> None:
    held, order, said = threading.Event(), list[str](), list[str]()

    def first() -> None:
        with lock_run(RunFolder(tmp_path, "run-1")):
            held.set()
            time.sleep(2)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    held.wait()
    with lock_run(RunFolder(tmp_path, "run-1"), said.append):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
    assert len(said) == 1
    assert said[0].startswith("process ")
    assert said[0].endswith(" is working on run run-1: waiting for it")


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    code = (
        "import os; from pathlib import Path; from flows.runs.lock import lock_run\n"
        "from storage.runs import RunFolder\n"
        f"with lock_run(RunFolder(Path({str(tmp_path)!r}), 'run-1')): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == -9
    said: list[str] = []
    assert not is_locked(RunFolder(tmp_path, "run-1"))
    with lock_run(RunFolder(tmp_path, "run-1"), said.append):
        assert said == []
