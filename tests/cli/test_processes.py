"""Whatever ends a command, no process of it stays; and where no Prefect server is to be had, it says so in one line.

Slow: `make processes`. Each start of a Prefect server costs seconds: the runs share a data folder, whose database is
made only once.
"""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.serving import command_of
from tests.support.tiny_factory import ROOT, STECA, TINY

pytestmark = pytest.mark.slow
Surroundings = dict[str, str]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ended")


@pytest.fixture
def surroundings() -> Surroundings:
    """As a user's: no server known, Prefect's folder next to the data."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}


def _interruptible() -> None:
    for number in (
        signal.SIGINT,
        signal.SIGHUP,
    ):  # a shell's background jobs and nohup's inherit them ignored
        signal.signal(number, signal.SIG_DFL)


def environment_of(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:  # it has ended
        return {}


@contextmanager
def started(command: list[str], surroundings: Surroundings) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*STECA, *command], cwd=ROOT, env=surroundings, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=_interruptible,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until(something: object, process: subprocess.Popen[str]) -> None:
    assert callable(something)
    deadline = time.monotonic() + 200
    while not something():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)


def family_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


@pytest.mark.parametrize(
    ("number", "whole_group"),
    [(signal.SIGINT, True), (signal.SIGTERM, False), (signal.SIGHUP, False), (signal.SIGKILL, False)],
    ids=["Ctrl-C", "TERM", "HUP", "KILL"],
)
def test_a_run_that_is_ended_leaves_nothing_running(
    number: signal.Signals, whole_group: bool, data_dir: Path, surroundings: Surroundings
) -> None:
    shutil.rmtree(data_dir / "runs", ignore_errors=True)
    command = ["run", "--config", str(TINY), "--set", f"data_dir={data_dir}", "--set", "warmup.steps=100000"]
    with started(command, {**surroundings, "OPENAI_API_KEY": "not-for-children"}) as process:
        wait_until(lambda: list(data_dir.glob("runs/*/stages/*-warmup.json")), process)
        family = family_of(process)
        assert not [each for each in family if "not-for-children" in environment_of(each).values()]
        assert any("flows/server/app.py" in " ".join(command_of(each)) for each in family), (
            "its server is a child"
        )
        (os.killpg if whole_group else os.kill)(process.pid, number)
        output = process.communicate(timeout=60)[0]
        assert not psutil.wait_procs(family, timeout=20)[1]
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
        return
    assert process.returncode == 128 + number, output
    assert output.count("the same command resumes where this one stopped") == 1
    assert "Traceback" not in output
    assert "prefect" not in output.lower().replace(str(data_dir), "")


def _run_command(data_dir: Path) -> list[str]:
    return ["run", "--config", str(TINY), "--set", f"data_dir={data_dir}", "--set", "warmup.steps=100000"]


@pytest.mark.parametrize("moment", ["server starts", "stage runs"])
def test_a_run_whose_whole_process_group_is_killed_leaves_no_server(
    moment: str, tmp_path: Path, surroundings: Surroundings
) -> None:
    with started(_run_command(tmp_path), surroundings) as process:
        if moment == "server starts":
            wait_until(lambda: len(family_of(process)) > 1, process)
        else:
            wait_until(lambda: list(tmp_path.glob("runs/*/stages/*-warmup.json")), process)
        family = family_of(process)
        os.killpg(process.pid, signal.SIGKILL)
        assert not psutil.wait_procs(family, timeout=30)[1]


def test_a_run_in_a_terminal_that_is_closed_leaves_no_server(
    tmp_path: Path, surroundings: Surroundings
) -> None:
    command = [*STECA, *_run_command(tmp_path)]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        _interruptible()
        os.execve(command[0], command, surroundings)
    deadline = time.monotonic() + 200
    while not list(tmp_path.glob("runs/*/stages/*-warmup.json")):
        assert time.monotonic() < deadline
        if select.select([terminal], [], [], 0.1)[0]:
            os.read(terminal, 4096)
    family = psutil.Process(pid).children(recursive=True)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 128 + signal.SIGHUP
    assert not psutil.wait_procs(family, timeout=30)[1]


def test_a_server_whose_guard_is_killed_with_the_run_ends_too(
    tmp_path: Path, surroundings: Surroundings
) -> None:
    with started(_run_command(tmp_path), surroundings) as process:
        wait_until(lambda: list(tmp_path.glob("runs/*/stages/*-warmup.json")), process)
        family = family_of(process)
        for one in family:
            if "guard.py" in str(command_of(one)):
                one.kill()
        process.kill()
        assert not psutil.wait_procs(family, timeout=30)[1]


def test_a_server_that_serve_starts_ends_with_it_also_on_its_way_up(
    data_dir: Path, surroundings: Surroundings
) -> None:
    port = _free_port()
    with started(["serve", "--port", str(port), "--data-dir", str(data_dir)], surroundings) as process:
        wait_until(lambda: len(family_of(process)) > 1, process)
        family = family_of(process)
        process.terminate()
        output = process.communicate(timeout=60)[0]
        assert not psutil.wait_procs(family, timeout=20)[1]
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in output


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


FLOW = """
import sys
from pathlib import Path
from flows.server.process import prefect_server

with prefect_server(Path(sys.argv[1])) as url:
    from prefect import flow, task

    double = task(lambda n: 2 * n, name="double")
    total = flow(lambda: sum(double(n) for n in range(5)), name="total")
    assert total() == 20
    from prefect.client.orchestration import get_client
    runs = get_client(sync_client=True).read_flow_runs()
    print("known runs:", len(runs))
"""


def test_servers_that_start_at_once_in_a_new_folder_all_work_behind_a_proxy_that_does_not(
    tmp_path: Path, surroundings: Surroundings
) -> None:
    behind = surroundings | dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    behind.pop("NO_PROXY", None)
    behind.pop("no_proxy", None)
    command = [sys.executable, "-c", FLOW, str(tmp_path)]
    how = {"cwd": ROOT, "env": behind, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    both = [subprocess.Popen(command, **how) for _ in range(2)]  # type: ignore[call-overload]
    said = [process.communicate(timeout=250)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert not any("Traceback" in each for each in said), said
    assert any("known runs: 2" in each for each in said), "they share a database"


@pytest.mark.parametrize("command", ["run", "serve"])
def test_a_server_that_does_not_answer_is_one_line(
    command: str, tmp_path: Path, surroundings: Surroundings
) -> None:
    dead = surroundings | {"PREFECT_API_URL": f"http://user:secret@127.0.0.1:{_free_port()}/api"}
    where = {
        "run": ["--config", str(TINY), "--set", f"data_dir={tmp_path}"],
        "serve": ["--data-dir", str(tmp_path)],
    }
    done = subprocess.run(
        [*STECA, command, *where[command]], cwd=ROOT, env=dead, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: no Prefect server answers at http://127.0.0.1:")
    assert "(from the environment variable PREFECT_API_URL)" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr
    assert not (tmp_path / "runs").exists(), "nothing is begun"
