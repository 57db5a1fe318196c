"""Locks between machines, on a store in memory: one at a time, renewed, taken over from who is gone."""

from __future__ import annotations

import threading
import time
import uuid
from pathlib import Path

import pytest

from storage.faults import StorageFault
from storage.remote import lease as lease_module
from storage.remote.lease import Lease, Leases
from storage.remote.objects import Objects, check_conditions
from storage.remote.versions import ABSENT, Changed
from tests.support.takers import taken_at_once

pytest.importorskip("fsspec")


@pytest.fixture
def objects() -> Objects:
    return Objects(f"memory://{uuid.uuid4().hex}/data")


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "LEASE", 0.6)
    monkeypatch.setattr(lease_module, "RENEWED_EVERY", 0.1)
    monkeypatch.setattr(lease_module, "POLL", 0.02)


def machine(objects: Objects, folder: Path) -> Leases:
    identity = uuid.uuid4().hex
    return Leases(objects, folder, lambda: identity)


def nothing(*_: str) -> None:
    return


def test_one_at_a_time_and_renewed_while_it_is_held(objects: Objects, tmp_path: Path) -> None:
    one, other = machine(objects, tmp_path / "one"), machine(objects, tmp_path / "other")
    said: list[str] = []
    order: list[str] = []

    def second() -> None:
        with other.hold("run-x", "on run x", said.append, nothing):
            order.append("other")

    with one.hold("run-x", "on run x", nothing, nothing):
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(1.0)  # longer than a lease
        order.append("one")
    waiting.join(10)
    assert order == ["one", "other"]
    assert len(said) == 1
    assert "is working on run x: waiting for it" in said[0]
    assert not one.is_held("run-x")


def test_who_is_gone_is_replaced_after_the_lease(objects: Objects, tmp_path: Path) -> None:
    assert Lease(objects, "locks/run-x", "killed").take(ABSENT)
    said: list[str] = []
    began = time.monotonic()
    with machine(objects, tmp_path).hold("run-x", "on run x", said.append, nothing):
        assert time.monotonic() - began > 0.6
    assert "is gone: going on instead" in said[-1]


def test_a_restart_on_the_same_machine_waits_for_nothing(objects: Objects, tmp_path: Path) -> None:
    again = machine(objects, tmp_path)
    assert Lease(objects, "locks/run-x", again._mirror()).take(ABSENT)
    began = time.monotonic()
    with again.hold("run-x", "on run x", nothing, nothing):
        assert time.monotonic() - began < 0.5


def test_who_was_asleep_learns_that_its_lock_is_lost(objects: Objects, tmp_path: Path) -> None:
    asleep = machine(objects, tmp_path)
    with asleep.hold("run-x", "on run x", nothing, nothing):
        asleep.require()
        objects.write("locks/run-x", b"another machine's")
        deadline = time.monotonic() + 5
        while not any(lease.lost for lease in asleep._held) and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(StorageFault, match=r"locks/run-x was not renewed .* run the same command again"):
            asleep.require()
    assert objects.read("locks/run-x") is not None, "the other one's lock was deleted"


def test_of_many_takers_one_wins(objects: Objects) -> None:
    taken = taken_at_once(objects, 16)
    assert sum(taken) == 1


def test_a_store_that_ignores_conditions_is_refused(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_conditions(objects)
    write = objects._versions.write
    monkeypatch.setattr(objects._versions, "write", lambda path, data, only_if: write(path, data, None))
    with pytest.raises(StorageFault, match="ignores If-None-Match"):
        check_conditions(objects)


def test_a_write_whose_answer_was_lost_is_ones_own(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.remote.objects.PAUSE", 0.001)
    write, lost = objects._versions.write, [1]

    def unlucky(path: str, data: bytes, only_if: str | None) -> str:
        version = write(path, data, only_if)
        if lost:
            lost.pop()
            raise TimeoutError
        return version

    monkeypatch.setattr(objects._versions, "write", unlucky)
    version = objects.write("locks/x", b"mine", ABSENT)
    assert objects.read("locks/x") == (b"mine", version)
    with pytest.raises(Changed):
        objects.write("locks/x", b"theirs", ABSENT)


def test_what_fails_for_good_is_one_line(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.remote.objects.PAUSE", 0.001)

    def broken(path: str) -> tuple[bytes, str]:
        raise ConnectionError("no\nroute")

    monkeypatch.setattr(objects._versions, "read", broken)
    with pytest.raises(StorageFault) as fault:
        objects.read("locks/x")
    assert str(fault.value).endswith(
        "cannot read locks/x (ConnectionError: no route): run the same command again when the store answers"
    )


def test_other_kinds_of_stores_are_refused() -> None:
    with pytest.raises(StorageFault, match="gs offers no conditional writes here"):
        Objects("gs://bucket/data")
