"""What is said before the work when a cluster cannot be used, and what the runner does not change."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from cli.main import app
from configs.cache_inputs import cache_key_settings, run_id_settings
from configs.faults import ConfigFault
from configs.schema import FactoryConfig
from flows.runs.from_cache import run_from_cache
from flows.runs.run import run_id
from tasks import stage_tasks
from tasks.batch_task import BatchTask
from tasks.preflight import preflight
from tasks.ray.faults import RunnerFault
from tests.support.tiny_factory import TINY, tiny

RAY = ("execution.runner=ray", "execution.ray.actors=8", "execution.ray.cpus=2")


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def test_without_ray_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # type: ignore[arg-type]  # how Python marks what is missing
    with pytest.raises(RunnerFault, match=r"pip install '\.\[ray\]', here and on every node$"):
        preflight(tiny(tmp_path, *RAY), quick=True)


def test_the_command_says_it_in_one_line_and_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # type: ignore[arg-type]
    data = tmp_path / "data"
    given = ["--set", f"data_dir={data}", "--set", "execution.runner=ray"]
    ended = CliRunner().invoke(app, ["run", "--config", str(TINY), *given])
    assert ended.exit_code == 1
    assert ended.stderr.startswith("error: execution.runner is ray, but Ray is not installed")
    assert ended.stderr.count("\n") == 1
    assert not data.exists()


def test_an_address_where_nothing_listens_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))  # it need not be installed for this
    address = free_address()
    with pytest.raises(RunnerFault) as raised:
        preflight(tiny(tmp_path, *RAY, f"execution.ray.address={address}"), quick=True)
    said = str(raised.value)
    assert said.startswith(f"the Ray cluster {address} cannot be reached (")
    assert said.endswith("start it with `ray start --head`, or correct execution.ray.address")
    assert "\n" not in said


def test_stages_that_stay_here_need_no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # type: ignore[arg-type]
    preflight(tiny(tmp_path, *RAY), ["train"], quick=True)


def test_the_local_runner_needs_no_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # type: ignore[arg-type]
    preflight(tiny(tmp_path), quick=True)


def test_a_run_that_is_in_the_cache_needs_no_ray(
    copied: FactoryConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # type: ignore[arg-type]
    on_ray = copied.execution.model_copy(update={"runner": "ray"})
    assert run_from_cache(copied.model_copy(update={"execution": on_ray})) == run_id(copied)


@pytest.mark.parametrize("address", ["10.0.0.1", "ray://head:10001", "head:port", "user@head:6379", ""])
def test_an_address_is_a_host_and_a_port(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigFault, match=r"execution\.ray\.address"):
        tiny(tmp_path, f"execution.ray.address={address}")


def test_the_runner_is_in_no_id_and_no_cache_key(tmp_path: Path) -> None:
    local, ray = tiny(tmp_path), tiny(tmp_path, *RAY, "execution.ray.address=head:6379")
    assert run_id_settings(local) == run_id_settings(ray)
    tasks = [task for task in vars(stage_tasks).values() if isinstance(task, BatchTask)]
    assert len(tasks) > 12
    for task in tasks:
        assert cache_key_settings(local, task.reads) == cache_key_settings(ray, task.reads)


def test_what_plays_or_asks_may_go_elsewhere_and_trainings_stay() -> None:
    tasks = [task for task in vars(stage_tasks).values() if isinstance(task, BatchTask)]
    assert {task.name for task in tasks if not task.anywhere} == {
        *("warmup", "train", "train_base", "prefer", "decide", "choose", "assemble", "pair")
    }
