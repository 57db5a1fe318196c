"""A run that is killed in the middle of the rewards goes on where it stopped, and loses and doubles nothing.

Slow: `make processes`.
"""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from cli.status import status_of
from configs.schema import FactoryConfig
from flows.runs.run import run_id
from storage.records import RECORDS
from storage.runs import RunFolder
from storage.store import Store
from tests.support.tiny_factory import ROOT, STECA, TINY, tiny

pytestmark = pytest.mark.slow


def manifests(data_dir: Path) -> dict[str, int]:
    """When each written batch was written, by its name."""
    return {path.name: path.stat().st_mtime_ns for path in data_dir.glob("shards/*/*.json")}


def rows_of(config: FactoryConfig, table: str) -> list[tuple[Any, ...]]:
    sql = f"SELECT * EXCLUDE (provenance) FROM of_run('{table}', $run)"
    return sorted(Store(config.data_dir).query(sql, {"run": run_id(config)})[1], key=repr)


def start(data_dir: Path) -> subprocess.Popen[bytes]:
    command = [*STECA, "run", "--config", str(TINY), "--set", f"data_dir={data_dir}"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def kill_in_rewards(process: subprocess.Popen[bytes], data_dir: Path) -> None:
    """SIGKILL as soon as the first batch of verdicts is written."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        if any(name.startswith("decide-") for name in manifests(data_dir)):
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.01)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, output.decode()


def test_only_what_was_missing_runs_after_a_kill(finished: FactoryConfig, tmp_path: Path) -> None:
    config = tiny(tmp_path / "data")
    folder = RunFolder(config.data_dir, run_id(config))
    kill_in_rewards(start(config.data_dir), config.data_dir)
    done = manifests(config.data_dir)
    killed = folder.stage(1, "rewards")
    assert killed is not None
    assert killed.status == "running"
    assert status_of(config.data_dir, run_id(config), killed) == "killed"
    scored = sum(name.startswith("score-") for name in done)
    decided = sum(name.startswith("decide-") for name in done)

    again = start(config.data_dir)
    output, _ = again.communicate(timeout=280)
    assert again.returncode == 0, output.decode()
    assert "Success rate" in output.decode()
    rewards = folder.stage(1, "rewards")
    assert rewards is not None
    assert 0 < decided < len(rewards.batches) // 2, "the kill came too late to mean anything"
    # A batch that was written, but whose result had not been filed, is done again and gives the same shard.
    assert scored + decided - 1 <= rewards.cached_batches <= scored + decided
    after = manifests(config.data_dir)
    rewritten = [name for name, written in done.items() if after[name] != written]
    assert len(rewritten) <= 1

    for record in RECORDS:
        assert rows_of(config, record.table) == rows_of(finished, record.table), record.table
        key = ", ".join(record.key)
        doubled = f"SELECT {key} FROM {record.table} GROUP BY ALL HAVING count(*) > 1"
        assert Store(config.data_dir).query(doubled)[1] == []
