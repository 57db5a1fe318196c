"""Mirrors on an S3 server of which one request in five fails, half of them after they were carried out. Slow: `make
s3`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.remote.mirror import Mirror
from storage.remote.objects import Objects
from storage.remote.published import fetch, publish
from storage.shards import ShardStore
from storage.store import Store
from tests.support.s3_server import BUCKET, S3Server, s3_server
from tests.support.store_rows import task
from tests.support.takers import taken_at_once

s3fs = pytest.importorskip("s3fs")
pytest.importorskip("moto")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
BATCHES = 4


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    s3fs.S3FileSystem.clear_instance_cache()
    with s3_server() as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running
    s3fs.S3FileSystem.clear_instance_cache()


def tasks_of(mirror: Mirror) -> set[str]:
    return {name for (name,) in Store(mirror.root).query("SELECT task_id FROM tasks")[1]}


def test_two_machines_publish_every_row_while_requests_fail(server: S3Server, tmp_path: Path) -> None:
    url = f"s3://{BUCKET}/transfers"
    mirrors = [Mirror(tmp_path / name, url) for name in ("one", "other")]
    failed: list[BaseException] = []
    server.fail(0.2)

    def work(mirror: Mirror) -> None:
        try:
            for number in range(BATCHES):
                name = f"{mirror.root.name}-{number}"
                ShardStore(mirror.root).write_batch("key", name, [task(name)])
                with mirror.leases.hold("run-x", "on run x", lambda line: None, lambda: None):
                    publish(mirror)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(mirror,)) for mirror in mirrors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed
    reader = Mirror(tmp_path / "reader", url)
    assert fetch(reader)
    assert tasks_of(reader) == {f"{name}-{number}" for name in ("one", "other") for number in range(BATCHES)}
    server.fail(0)
    assert not reader.objects.versions("locks")


def test_of_many_takers_one_wins_on_s3(server: S3Server) -> None:
    objects = Objects(f"s3://{BUCKET}/takers")
    server.fail(0.2)
    taken = taken_at_once(objects, 12)
    assert len(taken) == 12
    assert sum(taken) == 1
