"""Whole runs with their data folder on an S3 server: one machine after another, two at once, killed, with failing
requests. Slow: `make s3`."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from configs.schema import FactoryConfig
from flows.runs.run import run_id
from storage.runs import RunFolder
from tests.remote.machines import Machine, cached, ended, rows_of
from tests.support.s3_server import S3Server, s3_server
from tests.support.tiny_factory import tiny

pytest.importorskip("s3fs")
pytest.importorskip("moto")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
OTHER_RULE = ("name=other", "deviation.delta=-0.5")
"""A run that shares the first three stages and all rollouts with the tiny one."""


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


@pytest.fixture
def store(server: S3Server, request: pytest.FixtureRequest) -> Iterator[str]:
    """The prefix of this test's store."""
    yield request.node.name.replace("_", "-")
    server.fail(0)


@pytest.fixture
def one(server: S3Server, store: str, tmp_path: Path) -> Machine:
    return Machine(server, tmp_path / "one", store)


@pytest.fixture
def other(server: S3Server, store: str, tmp_path: Path) -> Machine:
    return Machine(server, tmp_path / "other", store)


@pytest.fixture
def wanted(finished: FactoryConfig) -> FactoryConfig:
    """A run in a local folder, whose rows are the right ones."""
    return finished


def test_a_run_and_a_second_machine_that_plays_nothing(
    wanted: FactoryConfig, one: Machine, other: Machine, server: S3Server
) -> None:
    run = run_id(wanted)
    server.counts()
    ended(one.run())
    counts = server.counts()
    batches = cached(one, run)[1]
    print(
        f"\n{sum(counts.values())} requests for {batches} batches and 7 stages: {dict(counts.most_common())}"
    )
    assert one.rows(run) == rows_of(wanted.data_dir, run)
    (one.root / "trajectories.duckdb").rename(one.root / "gone")  # the first machine is not asked again

    began = time.monotonic()
    output = ended(other.run())
    print(f"second machine: {time.monotonic() - began:.0f} s, {sum(server.counts().values())} requests")
    assert "every result is in the cache: nothing was computed again" in output
    assert other.rows(run) == rows_of(wanted.data_dir, run)

    third = Machine(server, other.folder.parent / "third", one.prefix)
    output = ended(third.start("sql", "--data-dir", third.url, "SELECT count(*) AS n FROM trajectories"))
    assert str(len(one_table(wanted, run))) in output
    assert not (third.root / "shards").exists(), "a reader downloads the published store only"


def one_table(config: FactoryConfig, run: str) -> list[tuple[object, ...]]:
    return rows_of(config.data_dir, run)["trajectories"]


def test_two_at_once_share_their_work_and_lose_no_row(
    wanted: FactoryConfig, one: Machine, other: Machine
) -> None:
    """Different rules: they meet in the first stages, and publish in turns. A reader asks all the while."""
    failed: list[str] = []
    asked: list[str] = []
    done = threading.Event()
    reader = Machine(one.server, one.folder.parent / "reader", one.prefix)

    def read() -> None:
        while not done.is_set():
            process = reader.start("sql", "--data-dir", reader.url, "SELECT count(*) AS n FROM trajectories")
            output, _ = process.communicate(timeout=900)
            if (
                "no runs in" not in output and "nothing is published" not in output
            ):  # before the first stage ends
                asked.append(output)
                if process.returncode:
                    failed.append(output)
            done.wait(1)

    reading = threading.Thread(target=read)
    reading.start()
    try:
        both = [one.run(), other.run(*OTHER_RULE)]
        try:
            for process in both:
                ended(process)
        finally:
            for process in both:
                process.kill()
    finally:
        done.set()
        reading.join(900)
    assert asked
    assert not failed, failed[0]
    run, changed = run_id(wanted), run_id(tiny(wanted.data_dir, *OTHER_RULE))
    ended(reader.start("sql", "--data-dir", reader.url, "FROM run_summary"))
    assert reader.rows(run) == rows_of(wanted.data_dir, run)
    demonstrated = [machine_cached(one, run), machine_cached(other, changed)]
    assert sum(demonstrated) == 10, "each of the 10 batches was made by one machine and found by the other"
    played = {row[:1] for row in reader.rows(changed)["rollouts"]}
    assert played == {row[:1] for row in reader.rows(run)["rollouts"]}
    assert reader.rows(changed)["evaluations"]


def machine_cached(machine: Machine, run: str) -> int:
    """Batches of the first stage that a machine found."""
    state = RunFolder(machine.root, run).stage(0, "demonstrate")
    assert state is not None
    return state.cached_batches


def kill_in_rewards(process: subprocess.Popen[str], machine: Machine) -> None:
    """SIGKILL as soon as the first batch of verdicts is written."""
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline and process.poll() is None:
        if any(machine.root.glob("shards/*/decide-*.json")):
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.01)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, output


def test_another_machine_completes_what_a_killed_one_began(
    wanted: FactoryConfig, one: Machine, other: Machine
) -> None:
    run = run_id(wanted)
    kill_in_rewards(one.run(), one)
    done = len(list(one.root.glob("results/*")))
    output = ended(other.run())
    assert "is gone: going on instead" in output
    assert other.rows(run) == rows_of(wanted.data_dir, run)
    found, batches = cached(other, run)
    assert 0 < found < batches
    assert found >= done - 2, "at most the batch in flight, and the one whose result was not sent yet"
    ended(one.run())  # it comes back, and finds what the other has done
    assert one.rows(run) == other.rows(run)


def test_requests_that_fail_change_nothing(wanted: FactoryConfig, one: Machine, server: S3Server) -> None:
    """One in twenty, without the retries of the library below (AWS_MAX_ATTEMPTS=1)."""
    run = run_id(wanted)
    server.fail(0.05)
    ended(one.run())
    assert one.rows(run) == rows_of(wanted.data_dir, run)


def test_a_store_that_cannot_be_used_is_one_line_before_work_starts(one: Machine, server: S3Server) -> None:
    missing = ended(one.start("run", "--set", "data_dir=s3://no-such-bucket/x"), 1)
    assert "s3://no-such-bucket/x: there is no such bucket: make it, or correct data_dir" in missing
    assert len(missing.strip().splitlines()) == 1
    keyless = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}
    output = ended(one.start("run", "--set", f"data_dir={one.url}", HOME=str(one.folder), **keyless), 1)
    assert "no credentials: set AWS_ACCESS_KEY_ID" in output
    for command in ("doctor", "gc", "serve"):
        output = ended(one.start(command, "--data-dir", one.url), 2)
        assert f"`steca {command}` needs a data folder on this machine" in output


def test_no_secret_is_written(server: S3Server, one: Machine, tmp_path: Path) -> None:
    """Neither in a mirror nor in the store."""
    process = one.start("status", "--data-dir", one.url, AWS_SECRET_ACCESS_KEY="very-secret-7f3a")
    ended(process)
    assert one.root.is_dir()
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or b"very-secret-7f3a" not in file.read_bytes(), file
