"""One process at a time works on a run; who comes second waits, and whoever is inside already passes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

from flows.runs.lock import is_locked, lock_run
from flows.runs.queue import WaitingQueue
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


def test_those_who_wait_go_on_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    folder, order = RunFolder(tmp_path, "run-1"), list[int]()

    def work(number: int, waits: threading.Event) -> None:
        with lock_run(folder, lambda line: waits.set()):
            order.append(number)

    threads = []
    with lock_run(folder):
        for number in range(6):
            waits = threading.Event()
            threads.append(threading.Thread(target=work, args=(number, waits)))
            threads[-1].start()
            waits.wait()
            time.sleep(0.05)  # it takes its ticket after it has said so
    for thread in threads:
        thread.join()
    assert order == list(range(6))
    assert not list((tmp_path / "locks" / "run-run-1.waiting").iterdir())


def test_a_newcomer_does_not_overtake_where_the_lock_is_free_for_a_moment(tmp_path: Path) -> None:
    said: list[str] = []
    with WaitingQueue(tmp_path / "locks" / "run-run-1.lock").ticket() as is_next:
        assert is_next()
        newcomer = threading.Thread(target=lambda: _take(RunFolder(tmp_path, "run-1"), said))
        newcomer.start()
        time.sleep(1.5)
        assert len(said) == 1
        assert "waiting for it" in said[0]
    newcomer.join()
    assert said[1:] == ["mine"]


def test_the_ticket_of_a_killed_process_is_void(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "run-run-1.lock"
    code = (
        "import os; from pathlib import Path; from flows.runs.queue import WaitingQueue\n"
        f"with WaitingQueue(Path({str(lock)!r})).ticket(): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == -9
    assert len(list(lock.with_suffix(".waiting").iterdir())) == 1
    said: list[str] = []
    _take(RunFolder(tmp_path, "run-1"), said)
    assert said == ["mine"]


def _take(folder: RunFolder, said: list[str]) -> None:
    with lock_run(folder, said.append):
        said.append("mine")
