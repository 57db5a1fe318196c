"""`steca gc` lists first, deletes when told to, and never beside a run."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from cli.main import app
from storage.garbage import find_garbage
from storage.shards import ShardStore
from storage.store import Store
from tests.storage.test_garbage import aged
from tests.support.other_process import start
from tests.support.store_rows import record_run, task

WORKING = """
import sys, time
from pathlib import Path
from flows.runs.lock import lock_run
from storage.runs import RunFolder
with lock_run(RunFolder(Path(sys.argv[1]), "toy-1")):
    print("held", flush=True)
    time.sleep(60)
"""


def folder(root: Path) -> Path:
    shards = ShardStore(root)
    record_run(root, "toy-1", shards.write_batch("explore-1", "b0", [task("a")]))
    shards.write_batch("explore-2", "b0", [task("b")])
    Store(root).ingest()
    aged(root)
    return root


def gc(root: Path, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["gc", "--data-dir", str(root), *options])
    return result.exit_code, result.output


def test_it_lists_and_deletes_only_when_told_to(tmp_path: Path) -> None:
    root = folder(tmp_path)
    code, said = gc(root)
    assert code == 0
    assert "nothing was deleted" in said
    assert len(find_garbage(root)) == 2
    code, said = gc(root, "--delete")
    assert code == 0
    assert "2 files deleted" in said
    assert Store(root).query("SELECT task_id FROM tasks")[1] == [("a",)]
    assert "a run refers to every file" in gc(root)[1]


def test_nothing_is_deleted_while_a_process_works_on_a_run(tmp_path: Path) -> None:
    root = folder(tmp_path)
    process = start(WORKING, root)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        code, said = gc(root, "--delete")
        assert code != 0
        assert "a process works on run toy-1" in " ".join(said.split())
        assert len(find_garbage(root)) == 2
    finally:
        process.kill()
        process.communicate()
    assert gc(root, "--delete")[0] == 0
    assert find_garbage(root) == []
