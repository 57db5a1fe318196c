"""Two mirrors of one store in memory: what one writes the other has, in an order in which nothing is seen half."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.faults import StorageFault
from storage.remote.layout import changes, place
from storage.remote.mirror import Mirror
from storage.remote.published import POINTER, fetch, publish
from storage.runs import RunFolder
from storage.shards import BatchRef, ShardStore
from storage.store import Store
from tests.support.store_rows import task

pytest.importorskip("fsspec")


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4().hex}/data"


@pytest.fixture
def one(tmp_path: Path, url: str) -> Iterator[Mirror]:
    return Mirror(tmp_path / "one", url)


@pytest.fixture
def other(tmp_path: Path, url: str) -> Mirror:
    return Mirror(tmp_path / "other", url)


def write(mirror: Mirror, batch: str, *tasks: str) -> BatchRef:
    return ShardStore(mirror.root).write_batch("key", batch, [task(name) for name in tasks])


def put(mirror: Mirror, name: str, text: str) -> None:
    path = mirror.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def text(mirror: Mirror, name: str) -> str:
    return (mirror.root / name).read_text()


def test_what_one_pushes_the_other_pulls(one: Mirror, other: Mirror) -> None:
    ref = write(one, "batch", "t1", "t2")
    put(one, "checkpoints/abc/model.safetensors", "weights")
    put(one, "checkpoints/abc/manifest.json", "{}")
    put(one, "results/key", "result")
    put(one, "evidence/s/t/1.parquet", "rollouts")
    put(one, "replies/ab/abc.json", "{}")
    for stays in (
        "labels.jsonl",
        "locks/run.lock",
        "journal/x.jsonl",
        "results/old.damaged",
        "shards/key/.lock",
    ):
        put(one, stays, "stays")
    one.push()
    other.pull()
    ShardStore(other.root).verify(ref)
    assert text(other, "checkpoints/abc/model.safetensors") == "weights"
    assert text(other, "results/key") == "result"
    assert text(other, "evidence/s/t/1.parquet") == "rollouts"
    assert not (other.root / "labels.jsonl").exists()
    assert not (other.root / "journal").exists()
    assert not (other.root / "results/old.damaged").exists()


def test_what_changes_is_pulled_again_and_pushed_again(one: Mirror, other: Mirror) -> None:
    put(one, "runs/r/run.json", "first")
    one.push()
    other.pull()
    put(other, "runs/r/run.json", "second, longer")
    other.push()
    one.pull()
    assert text(one, "runs/r/run.json") == "second, longer"


def test_where_both_changed_the_store_is_right(one: Mirror, other: Mirror) -> None:
    """As after a kill: another machine has gone on."""
    put(one, "runs/r/run.json", "first")
    one.push()
    other.pull()
    put(one, "runs/r/run.json", "of the killed one")
    put(other, "runs/r/run.json", "of the one that went on")
    other.push()
    one.pull()
    one.push()
    other.pull()
    assert text(one, "runs/r/run.json") == text(other, "runs/r/run.json") == "of the one that went on"


def test_a_change_here_outlives_a_pull(one: Mirror) -> None:
    put(one, "runs/r/spent.json", "1")
    one.push()
    put(one, "runs/r/spent.json", "22")
    one.pull()
    assert text(one, "runs/r/spent.json") == "22"


def test_nothing_is_sent_twice(one: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    write(one, "batch", "t1")
    put(one, "runs/r/run.json", "x")
    one.push()
    monkeypatch.setattr(one, "_send", lambda name, sign: pytest.fail(f"{name} is sent again"))
    monkeypatch.setattr(one, "_fetch", lambda name: pytest.fail(f"{name} is fetched"))
    one.push()
    one.pull()


def test_data_is_sent_before_what_refers_to_it(one: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    write(one, "batch", "t1")
    put(one, "results/key", "result")
    put(one, "runs/r/run.json", "state")
    put(one, "checkpoints/abc/manifest.json", "{}")
    put(one, "checkpoints/abc/model.safetensors", "weights")
    sent: list[str] = []
    send = one._send
    monkeypatch.setattr(one, "_send", lambda name, sign: sent.append(name) or send(name, sign))
    monkeypatch.setattr("storage.remote.mirror.AT_ONCE", 1)
    one.push()
    order = [place(name) for name in sent]
    assert None not in order
    assert order == sorted(order, key=str)
    assert len(sent) == 6


def test_a_killed_push_is_completed_by_the_next(
    one: Mirror, other: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = write(one, "batch", "t1")
    put(one, "results/key", "result")
    send = one._send

    def killed(name: str, sign: str) -> object:
        if name.startswith("results/"):
            raise KeyboardInterrupt
        return send(name, sign)

    with monkeypatch.context() as patch:
        patch.setattr(one, "_send", killed)
        with pytest.raises(KeyboardInterrupt):
            one.push()
    other.pull()
    assert not (other.root / "results/key").exists()
    ShardStore(other.root).verify(ref)
    one.push()
    other.pull()
    assert text(other, "results/key") == "result"


def test_a_checkpoint_without_its_manifest_is_not_there_yet(one: Mirror, other: Mirror) -> None:
    one.objects.write("checkpoints/abc/model.safetensors", b"half")
    other.pull()
    assert not (other.root / "checkpoints/abc").exists()


def test_a_shard_written_while_the_store_was_listed_comes_with_its_manifest(
    one: Mirror, other: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = write(one, "batch", "t1")
    one.push()
    versions = other.objects.versions
    monkeypatch.setattr(
        other.objects,
        "versions",
        lambda folder: {name: v for name, v in versions(folder).items() if not name.endswith(".parquet")},
    )
    other.pull()
    ShardStore(other.root).verify(ref)


def test_merged_rollouts_replace_the_older_files_everywhere(one: Mirror, other: Mirror) -> None:
    put(one, "evidence/s/t/old.parquet", "1")
    one.push()
    other.pull()
    put(one, "evidence/s/t/merged.parquet", "1 and 2")
    (one.root / "evidence/s/t/old.parquet").unlink()
    one.push()
    other.pull()
    assert [file.name for file in (other.root / "evidence/s/t").iterdir()] == ["merged.parquet"]
    assert list(one.objects.versions("evidence")) == ["evidence/s/t/merged.parquet"]


def test_what_is_lost_here_is_fetched_and_what_is_lost_there_is_sent(one: Mirror) -> None:
    ref = write(one, "batch", "t1")
    one.push()
    for file in (one.root / "shards/key").glob("*.parquet"):
        file.unlink()
    one.pull()
    ShardStore(one.root).verify(ref)
    for name in one.objects.versions("shards"):
        one.objects.delete(name)
    one.pull()
    one.push()
    assert len(one.objects.versions("shards")) == 2


def rows(mirror: Mirror) -> set[str]:
    return {name for (name,) in Store(mirror.root).query("SELECT task_id FROM tasks")[1]}


def test_two_that_publish_at_once_lose_no_row(
    one: Mirror, other: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other publishes after this one has read the pointer and ingested: it begins again."""
    write(one, "a", "t1")
    write(other, "b", "t2")
    ingest, times = Store.ingest, []

    def between(store: Store) -> object:
        report = ingest(store)
        if store.root == one.root:
            times.append(1)
            if len(times) == 1:
                publish(other)
        return report

    monkeypatch.setattr(Store, "ingest", between)
    publish(one)
    assert len(times) == 2
    assert rows(one) == {"t1", "t2"}
    assert fetch(other)
    assert rows(other) == {"t1", "t2"}
    assert len(one.objects.versions("published")) == 3, "the pointer, what it names, and the one before"


def test_without_the_condition_rows_would_be_lost(
    one: Mirror, other: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control of the test above."""
    write(one, "a", "t1")
    write(other, "b", "t2")
    ingest, objects, first = Store.ingest, one.objects, []

    def between(store: Store) -> object:
        report = ingest(store)
        if store.root == one.root and not first:
            first.append(1)
            publish(other)
        return report

    monkeypatch.setattr(Store, "ingest", between)
    unconditional = objects.write
    monkeypatch.setattr(objects, "write", lambda name, data, only_if=None: unconditional(name, data))
    publish(one)
    assert fetch(other)
    assert rows(other) == {"t1"}


def test_a_reader_finds_the_next_file_where_the_old_one_is_gone(
    one: Mirror, other: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(one, "a", "t1")
    publish(one)
    read, old = other.objects.read, one.objects.read(POINTER)
    write(one, "b", "t2")
    publish(one)
    write(one, "c", "t3")
    publish(one)
    answers = [old]
    monkeypatch.setattr(other.objects, "read", lambda name: answers.pop() if answers else read(name))
    assert fetch(other)
    assert rows(other) == {"t1", "t2", "t3"}


def test_a_damaged_pointer_is_one_line(one: Mirror) -> None:
    one.objects.write(POINTER, b"[" * 100_000)
    with pytest.raises(StorageFault, match=r"published/current.json is damaged: delete it"):
        fetch(one)


def test_states_of_runs_are_pulled_alone_for_those_who_read(one: Mirror, other: Mirror) -> None:
    folder = RunFolder(one.root, "run-1")
    folder.create("run", {})
    write(one, "a", "t1")
    publish(one)
    other.pull(("runs",))
    assert RunFolder(other.root, "run-1").exists()
    assert not (other.root / "shards").exists()


@pytest.mark.parametrize(
    ("name", "at", "changing"),
    [
        ("shards/k/rows-1.parquet", 0, False),
        ("shards/k/batch.json", 1, True),
        ("shards/k/superseded/batch-1.json", 1, True),
        ("results/key", 2, True),
        ("runs/r/stages/1-train.json", 3, True),
        ("shards/k/.writing-1", None, True),
        ("runs/../../outside", None, True),
        ("store/working.duckdb", None, True),
        ("trajectories.duckdb", None, True),
    ],
)
def test_places(name: str, at: int | None, changing: bool) -> None:
    assert (place(name), changes(name)) == (at, changing)
