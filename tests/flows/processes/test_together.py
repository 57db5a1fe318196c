"""Whole runs that are started at the same moment in one data folder. Slow: `make processes`."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from configs.schema import FactoryConfig
from configs.stages import STAGES
from flows.factory import factory
from flows.runs.lock import lock_run
from flows.runs.run import run_id
from storage.records import RECORDS
from storage.runs import RunFolder
from storage.store import Store
from tests.support.tiny_factory import ROOT, STECA, TINY, tiny

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
Rows = dict[str, list[tuple[Any, ...]]]


def start(data_dir: Path, *overrides: str) -> subprocess.Popen[str]:
    sets = [part for override in (f"data_dir={data_dir}", *overrides) for part in ("--set", override)]
    command = [*STECA, "run", "--config", str(TINY), *sets]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def until(process: subprocess.Popen[str], text: str) -> str:
    """What a process printed up to a line with this text."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if text in line:
            return said
    raise AssertionError(f"ended without saying {text!r}:\n{said}")


def ended(processes: list[subprocess.Popen[str]]) -> list[str]:
    """What each of them printed; all must end well."""
    outputs = [process.communicate(timeout=800)[0] for process in processes]
    codes = [process.returncode for process in processes]
    assert codes == [0] * len(codes), "\n".join(outputs)
    return outputs


def rows(config: FactoryConfig) -> Rows:
    """All rows of a run, without what tells when and in which order it was done."""
    store = Store(config.data_dir)
    sql = "SELECT * EXCLUDE (provenance) FROM of_run('{}', $run) ORDER BY ALL"
    return {r.table: store.query(sql.format(r.table), {"run": run_id(config)})[1] for r in RECORDS}


def alone(data_dir: Path, *overrides: str) -> Rows:
    """The rows of the same run in a folder of its own."""
    config = tiny(data_dir, *overrides)
    factory(config)
    return rows(config)


def completed(config: FactoryConfig) -> bool:
    states = RunFolder(config.data_dir, run_id(config)).stages()
    return sorted(state.stage for state in states if state.status == "completed") == sorted(STAGES)


def healthy(data_dir: Path) -> bool:
    report = Store(data_dir).ingest()
    return not report.set_aside and not report.rollout_conflicts


def test_three_seeds_at_once_are_as_one_after_the_other(prefect_api: str, tmp_path: Path) -> None:
    seeds = [f"seed={seed}" for seed in (1, 2, 3)]
    ended([start(tmp_path / "together", seed) for seed in seeds])
    for seed in seeds:
        config = tiny(tmp_path / "together", seed)
        assert completed(config)
        assert rows(config) == alone(tmp_path / "apart", seed)
    assert healthy(tmp_path / "together")


def test_three_times_the_same_is_done_once(prefect_api: str, tmp_path: Path) -> None:
    config = tiny(tmp_path / "together")
    with lock_run(RunFolder(config.data_dir, run_id(config))):  # until all three are there
        processes = [start(config.data_dir) for _ in range(3)]
        for process in processes:
            until(process, f" is working on run {run_id(config)}: waiting for it")
    ended(processes)
    assert completed(config)
    assert RunFolder(config.data_dir, run_id(config)).spent().rollouts == 68
    assert rows(config) == alone(tmp_path / "apart")
    assert healthy(tmp_path / "together")


def test_two_that_score_the_same_points_at_once_agree(prefect_api: str, tmp_path: Path) -> None:
    """Other rules, the same rollouts: whoever files one first, both use it."""
    rules = [("name=one", "deviation.delta=0.5"), ("name=two", "deviation.delta=-0.5")]
    ended([start(tmp_path / "together", *rule) for rule in rules])
    for rule in rules:
        assert rows(tiny(tmp_path / "together", *rule)) == alone(tmp_path / "apart", *rule)
    assert healthy(tmp_path / "together")
