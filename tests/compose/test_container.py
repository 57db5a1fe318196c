"""Starting, checking and ending one service, on small commands."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.compose_here.compose_file import Healthcheck
from tests.support.compose_here.container import Container


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's."""
    made = Path(tempfile.mkdtemp(prefix="steca-container-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def made(room: Path) -> Iterator[list[Container]]:
    containers: list[Container] = []
    yield containers
    for container in containers:
        container.kill()


def container(room: Path, made: list[Container], command: str, check: str = "true") -> Container:
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    health = Healthcheck(["sh", "-c", check], interval=0.1, timeout=20, retries=3, start_period=0)
    one = Container(
        "one",
        ["sh", "-c", command],
        room,
        environment,
        health,
        signal.SIGTERM,
        20,
        room / "home",
        room / "log",
    )
    made.append(one)
    one.start()
    return one


def test_a_healthy_one_is_waited_for(room: Path, made: list[Container]) -> None:
    container(
        room, made, "sleep 1; touch ~/ready; sleep 600", check="test -e ~/ready || sleep 1"
    ).wait_until_healthy()


def test_an_unhealthy_one_is_reported_with_its_log(room: Path, made: list[Container]) -> None:
    with pytest.raises(TimeoutError, match="one is unhealthy"):
        container(room, made, "sleep 600", check="false").wait_until_healthy()


def test_one_that_ends_is_reported_with_its_log(room: Path, made: list[Container]) -> None:
    one = container(room, made, "echo no such database; exit 3")
    assert one.process is not None
    one.process.wait(20)
    with pytest.raises(RuntimeError, match="one has ended:\nno such database"):
        one.wait_until_healthy()


def test_nothing_in_it_survives_a_kill(room: Path, made: list[Container]) -> None:
    one = container(room, made, "setsid sleep 600 & exec sleep 600")
    other = Container(**vars(one) | {"home": room / "other", "process": None})
    made.append(other)
    other.start()
    while len(one.processes()) < 2:
        time.sleep(0.05)
    one.kill()
    assert one.processes() == []
    assert not one.is_up()
    assert other.is_up()


def test_what_obeys_is_not_killed(room: Path, made: list[Container]) -> None:
    one = container(room, made, "trap 'echo told; exit 0' TERM; touch ~/ready; while :; do sleep 0.1; done")
    while not (one.home / "ready").exists():
        time.sleep(0.05)
    assert one.stop() < one.stop_seconds
    assert one.last_lines() == "told\n"


def test_what_does_not_obey_is_killed_after_its_time(room: Path, made: list[Container]) -> None:
    one = container(room, made, "trap '' TERM; touch ~/ready; while :; do sleep 0.1; done")
    while not (one.home / "ready").exists():
        time.sleep(0.05)
    one.stop_seconds = 0.5
    assert one.stop() >= 0.5
    assert one.processes() == []


def test_a_restart_keeps_no_home(room: Path, made: list[Container]) -> None:
    one = container(room, made, "touch ~/a; sleep 600")
    while not (one.home / "a").exists():
        time.sleep(0.05)
    one.kill()
    one.command = ["sleep", "600"]
    one.start()
    assert not (one.home / "a").exists()
