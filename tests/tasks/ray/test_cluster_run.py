"""Runs on a cluster of two nodes: the rows of a local run, whatever is killed meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from configs.schema import FactoryConfig
from environments.base import EnvironmentFault
from flows.reporting.progress import Silent, reporting
from flows.runs.run import folder_of
from storage.runs import RunFolder
from storage.shards import ShardStore
from tasks.preflight import preflight
from tasks.ray.faults import RunnerFault
from tests.support import held_world
from tests.support.prefect_api import wait_until
from tests.support.ray_nodes import Nodes, two_nodes
from tests.support.tiny_factory import tiny

pytest.importorskip("ray", reason="the extra `ray` is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # `make ray`

WORLD = ("environment.name=tests.support.held_world:Held", "rewards.rollouts=3")
STAGES = ("demonstrate", "warmup", "explore", "rewards", "calibrate", "train", "evaluate")


class Lines(Silent):
    """Keeps the lines that a run reports."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of held_world, known to all processes that are started from here."""
    folder = tmp_path_factory.mktemp("held")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(held_world.FOLDER, str(folder))
        yield folder


@pytest.fixture(scope="module")
def nodes(held: Path) -> Iterator[Nodes]:
    with two_nodes() as nodes:
        yield nodes


@pytest.fixture(scope="module")
def local(prefect_api: str, held: Path, tmp_path_factory: pytest.TempPathFactory) -> FactoryConfig:
    """An undisturbed run without Ray."""
    from flows.factory import factory

    config = tiny(tmp_path_factory.mktemp("local"), *WORLD)
    factory(config)
    return config


@pytest.fixture(autouse=True)
def clean(held: Path) -> Iterator[None]:
    yield
    for file in held.iterdir():
        file.unlink()


def on(nodes: Nodes, actors: int = 2) -> list[str]:
    address = f"execution.ray.address={nodes.address}"
    return ["execution.runner=ray", address, f"execution.ray.actors={actors}"]


def rows_of(config: FactoryConfig, stages: tuple[str, ...] = STAGES) -> dict[str, list[dict[str, Any]]]:
    """All rows of a run's batches, by batch id: ids, texts, rewards, everything but measured seconds."""
    folder = folder_of(config)
    shards = ShardStore(folder.root)
    return {
        ref.batch_id: [row.model_dump(exclude={"seconds"}) for row in shards.read_batch(ref)]
        for state in folder.stages()
        if state.stage in stages
        for ref in state.batches
    }


def meanwhile(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def waiting(held: Path) -> list[int]:
    return [int(file.name.removeprefix("waits-")) for file in held.glob("waits-*")]


def test_a_node_is_killed_in_the_middle_of_rewards(
    nodes: Nodes, local: FactoryConfig, held: Path, tmp_path: Path
) -> None:
    from flows.factory import factory

    config = tiny(tmp_path, *WORLD, *on(nodes))
    victims: list[int] = []

    def kill() -> None:
        wait_until(lambda: folder_of(config).stage(1, "rewards"), 400)
        (held / "hold").touch()
        victims.extend(wait_until(lambda: nodes.of_second(waiting(held)), 90))
        nodes.kill_second()
        (held / "hold").unlink()

    killing, reporter = meanwhile(kill), Lines()
    with reporting(reporter):
        factory(config)
    killing.join()
    nodes.replace_second()
    assert len(victims) == 1, "an actor of the node was playing"
    gone = [line for line in reporter.lines if "is gone" in line]
    assert len(gone) == 1
    assert f"process {victims[0]}" in gone[0]
    assert "score batch" in gone[0]
    assert rows_of(config) == rows_of(local)
    assert folder_of(config).run_id == folder_of(local).run_id
    assert folder_of(config).spent().rollouts == folder_of(local).spent().rollouts


def test_an_actor_is_killed_in_the_middle_of_explore(
    nodes: Nodes, local: FactoryConfig, held: Path, tmp_path: Path
) -> None:
    config, reporter = again(local, tmp_path), Lines()

    def kill() -> None:
        (pid,) = wait_until(lambda: waiting(held), 90)
        os.kill(pid, signal.SIGKILL)
        (held / "hold").unlink()

    before = rows_of(config, ("explore",))
    (held / "hold").touch()
    killing = meanwhile(kill)
    stage(config, "explore", reporter, on(nodes, actors=1))
    killing.join()
    assert len([line for line in reporter.lines if "is gone" in line]) == 1
    assert before
    assert rows_of(config, ("explore",)) == before


def test_a_fault_of_the_batch_is_raised_as_without_ray_and_is_not_tried_again(
    nodes: Nodes, local: FactoryConfig, held: Path, tmp_path: Path
) -> None:
    config = again(local, tmp_path)
    (held / "fail").touch()
    said = []
    for how in ([], on(nodes, actors=1)):
        (held / "failed").unlink(missing_ok=True)
        reporter = Lines()
        with pytest.raises(EnvironmentFault) as raised:
            stage(config, "explore", reporter, how)
        said.append(str(raised.value))
        assert len((held / "failed").read_text().split()) == 1
        assert not [line for line in reporter.lines if "is gone" in line]
    assert said[0] == said[1]


def test_a_full_object_store_loses_nothing(nodes: Nodes, local: FactoryConfig, tmp_path: Path) -> None:
    import numpy as np
    import ray

    from tasks.ray.cluster import connected

    config = again(local, tmp_path)
    connected(tiny(tmp_path, *on(nodes)).execution.ray)
    kept = [ray.put(np.ones(20_000_000, dtype=np.uint8)) for _ in range(6)]  # more than a store holds
    before = rows_of(config, ("rewards", "calibrate"))
    for name in ("rewards", "calibrate"):
        stage(config, name, Lines(), on(nodes))
    assert before
    assert rows_of(config, ("rewards", "calibrate")) == before
    assert len(kept) == 6


def test_a_policy_behind_a_server_is_shared_by_all_actors(
    nodes: Nodes, local: FactoryConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver starts the server, which needs a key. Which actor asks it decides nothing."""
    monkeypatch.setenv("POLICY_KEY", "sk-4f1c0ffee4f1c0ffee")
    served = [
        "policy.engine=openai",
        f"execution.server.command={json.dumps([sys.executable, '-m', 'tests.support.vllm_stand_in'])}",
        "execution.server.key_env=POLICY_KEY",
    ]
    config, reporter = again(local, tmp_path), Lines()
    here = explored(config, stage(config, "explore", reporter, served))
    there = explored(config, stage(config, "explore", reporter, [*served, *on(nodes)]))
    assert here
    assert there == here
    starts = [line for line in reporter.lines if line.startswith("starting vLLM")]
    assert len(starts) == 2, "one for each of the two stages"


def test_an_actor_that_fits_on_no_node_is_refused_before_the_work(nodes: Nodes, tmp_path: Path) -> None:
    config = tiny(tmp_path, *on(nodes), "execution.ray.cpus=99")
    with pytest.raises(RunnerFault, match=r"no node of the Ray cluster .* has 99 CPUs and 0 GPUs: lower"):
        preflight(config)


def explored(config: FactoryConfig, run: str) -> list[dict[str, Any]]:
    folder = RunFolder(config.data_dir, run)
    state, shards = folder.stage(1, "explore"), ShardStore(folder.root)
    assert state
    return [row.model_dump(exclude={"seconds"}) for ref in state.batches for row in shards.read_batch(ref)]


def again(local: FactoryConfig, folder: Path) -> FactoryConfig:
    """The finished local run in a folder of its own, for a stage that is made again."""
    shutil.copytree(local.data_dir, folder / "data", ignore=shutil.ignore_patterns("*.holder"))
    return local.model_copy(update={"data_dir": folder / "data"})


def stage(config: FactoryConfig, name: str, reporter: Lines, changes: list[str]) -> str:
    """Make a stage again. Returns the id of its run."""
    from flows.stages import STAGE_FLOWS

    run, data_dir = folder_of(config).run_id, str(config.data_dir)
    with reporting(reporter):
        return STAGE_FLOWS[name](run, force=True, changes=changes, data_dir=data_dir)
