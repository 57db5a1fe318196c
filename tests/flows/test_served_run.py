"""Whole runs with a served policy and a reflector behind an API: the same rows, calls on record, no key anywhere."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from configs.schema import FactoryConfig
from models.reflectors.reflector import ReflectionFault
from storage.runs import RunFolder
from storage.store import Store
from tests.support.fake_openai.replies import Request
from tests.support.fake_openai.server import FakeOpenAI, Fault
from tests.support.tiny_factory import tiny

pytestmark = pytest.mark.slow  # `make serving`; a minute and a half, most of it loading servers

MODEL = "reflector-1"
KEY = "sk-4f1c0ffee4f1c0ffee"
STAND_IN = json.dumps([sys.executable, "-m", "tests.support.vllm_stand_in"])


def thinks(request: Request, _: int) -> str:
    """A reflection that mentions nothing but the required action."""
    action = re.search(r"# The action to take next\n(.*)", request["messages"][0]["content"])
    assert action
    return json.dumps({"thought": "That did not help. There is a better way.", "action": action[1]})


def served_config(data_dir: Path, reflector: FakeOpenAI, *more: str) -> FactoryConfig:
    return tiny(
        data_dir,
        "policy.engine=openai",
        f"execution.server.command={STAND_IN}",
        "execution.server.key_env=POLICY_KEY",
        "calibration.reflector=llm",
        f"calibration.model={MODEL}",
        f"execution.reflector.base_urls=[{reflector.url}]",
        "execution.reflector.key_env=REFLECTOR_KEY",
        "execution.reflector.patience_seconds=2",
        f"budget.prices={{{MODEL}: {{input: 2.5, output: 10}}}}",
        *more,
    )


@dataclass(frozen=True)
class Ran:
    config: FactoryConfig
    run: str
    reflector: FakeOpenAI

    def rows(self, sql: str, config: FactoryConfig | None = None) -> list[tuple[Any, ...]]:
        return Store((config or self.config).data_dir).query(sql)[1]


@pytest.fixture(scope="module")
def keys() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REFLECTOR_KEY", KEY)
        patch.setenv("POLICY_KEY", f"{KEY}-policy")
        yield


@pytest.fixture(scope="module")
def reflector() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(MODEL, answer=thinks, key=KEY, shows_key=True) as server:
        yield server


@pytest.fixture(scope="module")
def ran(prefect_api: str, keys: None, reflector: FakeOpenAI, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    from flows.factory import factory

    config = served_config(tmp_path_factory.mktemp("served-run"), reflector)
    return Ran(config, factory(config), reflector)


EPISODES = """
SELECT t.task_id, kind, prefix_steps, list(s.text ORDER BY step_index)
FROM trajectories t JOIN steps s USING (trajectory_id)
WHERE (kind = 'explored' OR (kind = 'evaluation' AND prefix_steps = 0))
    AND t.checkpoint IN (SELECT digest FROM checkpoints WHERE role = 'warmup')
GROUP BY t.trajectory_id, t.task_id, kind, prefix_steps ORDER BY ALL
"""


def test_a_served_policy_plays_the_very_greedy_episodes_that_it_plays_in_process(
    ran: Ran, finished: FactoryConfig
) -> None:
    served, local = ran.rows(EPISODES), ran.rows(EPISODES, finished)
    assert len(served) > 20
    assert [one for one, other in zip(served, local, strict=True) if one != other] == []


def test_every_turn_is_a_call_on_record_by_the_checkpoint_that_wrote_it(ran: Ran) -> None:
    calls = ran.rows(
        "SELECT model, ok, retries, prompt_tokens > 0, usd FROM llm_calls WHERE purpose = 'policy'"
    )
    assert {call[1:] for call in calls} == {(True, 0, True, None)}
    digests = {digest for (digest,) in ran.rows("SELECT digest FROM checkpoints")}
    assert {call[0] for call in calls} == digests
    ((rollout_turns,),) = ran.rows("SELECT sum(n_steps) FROM rollouts")
    assert len(calls) > rollout_turns / 2  # equal greedy histories of one batch are asked for once


def test_the_reflections_are_the_models_and_their_price_is_known(ran: Ran) -> None:
    made = ran.rows("SELECT reflector, reflection, attempts, kept FROM calibrations WHERE reflection <> ''")
    assert made
    assert set(made) == {(MODEL, "That did not help. There is a better way.", 1, True)}
    ((kept, calls, tokens, usd),) = ran.rows(
        "SELECT kept, calls, tokens_per_kept, usd_per_kept FROM calibration_costs"
    )
    assert kept == len(made)
    assert calls == len(ran.reflector.requests) <= kept
    ((paid,),) = ran.rows("SELECT sum(usd) FROM llm_calls")
    assert usd == pytest.approx(paid / kept)
    assert tokens > 100


def test_the_same_settings_ask_nothing_again_and_a_forced_redo_pays_no_reflection_twice(ran: Ran) -> None:
    from flows.factory import factory
    from flows.stages import calibrate

    before = len(ran.reflector.requests)
    paid = ran.rows("SELECT count(*), sum(usd) FROM llm_calls")
    factory(ran.config)
    calibrate(ran.config, force=True)
    assert len(ran.reflector.requests) == before
    statuses = ran.rows(f"SELECT DISTINCT status FROM run_stages WHERE run_id = '{ran.run}'")
    assert statuses == [("completed",)]  # the redo gave the same, so nothing after it is outdated
    assert ran.rows("SELECT count(*), sum(usd) FROM llm_calls") == paid


def test_no_key_reaches_a_file_or_the_store(ran: Ran) -> None:
    data = ran.config.data_dir
    files = [path for path in data.rglob("*") if path.is_file()]
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    for (table,) in ran.rows("SELECT table_name FROM duckdb_tables() WHERE NOT internal"):
        assert KEY not in repr(ran.rows(f"FROM {table}")), table
    assert list((data / "logs").glob("vllm-*.log"))


def test_a_whole_run_starts_one_server_for_each_checkpoint(ran: Ran) -> None:
    """The warm-up policy's serves explore, rewards and its own tests. Rows of the tests belong to stage evaluate."""
    logs = [path.name.split("-")[1] for path in (ran.config.data_dir / "logs").glob("vllm-*.log")]
    digests = [digest[:16] for (digest,) in ran.rows("SELECT digest FROM checkpoints WHERE role <> 'base'")]
    assert sorted(logs) == sorted(digests)
    stages = RunFolder(ran.config.data_dir, ran.run)
    rewards, evaluate = stages.stage(1, "rewards"), stages.stage(1, "evaluate")
    assert rewards
    assert evaluate
    assert {ref.batch_id.split("-")[0] for ref in rewards.batches} == {"score", "decide"}
    assert {ref.batch_id.split("-")[0] for ref in evaluate.batches} == {"force", "evaluate"}


def test_a_stage_on_its_own_ends_its_server(ran: Ran, tmp_path: Path) -> None:
    from flows.stages import explore

    before = set((ran.config.data_dir / "logs").glob("vllm-*.log"))
    explore(ran.config, force=True)
    assert len(set((ran.config.data_dir / "logs").glob("vllm-*.log")) - before) == 1
    test_no_server_is_left_when_a_stage_has_ended(ran)


def test_the_check_for_keys_would_find_one(ran: Ran, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f"Bearer {KEY}")
    assert [path for path in tmp_path.rglob("*") if KEY.encode() in path.read_bytes()]


def test_no_server_is_left_when_a_stage_has_ended(ran: Ran) -> None:
    commands = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert not [command for command in commands if "vllm_stand_in" in command]


def test_a_lasting_fault_fails_the_stage_and_the_next_run_asks_only_for_the_rest(
    ran: Ran, keys: None, tmp_path: Path
) -> None:
    from flows.factory import factory
    from flows.stages import calibrate

    with FakeOpenAI(MODEL, answer=thinks, key=KEY) as server:
        config = served_config(
            tmp_path,
            server,
            "policy.engine=transformers",
            "deviation.preset=every_failure",
            "execution.batch_tasks=8",
        )
        server.plan.fail_when(lambda record: record.number >= 3, Fault.quota())
        with pytest.raises(ReflectionFault, match="no credit left") as fault:
            factory(config)
        answered = [record for record in server.requests if not record.fault]
        assert 0 < len(answered) <= 3
        assert KEY not in str(fault.value)
        server.plan.heal()
        calibrate(config)
        ((kept,),) = Store(config.data_dir).query("SELECT count(*) FROM calibrations WHERE kept")[1]
        served = [json.dumps(record.body) for record in server.requests if not record.fault]
    assert len(served) == len(set(served)) <= kept
    states = Store(config.data_dir).query(
        "SELECT count_if(NOT ok), count_if(ok) FROM llm_calls WHERE purpose = 'reflection'"
    )[1]
    assert states[0][0] >= 1
    assert states[0][1] == len(served)


def test_a_server_that_serves_another_checkpoint_is_refused_before_a_turn_is_asked_for(
    ran: Ran, keys: None, tmp_path: Path
) -> None:
    from flows.factory import factory
    from models.policy import PolicyFault

    with FakeOpenAI("0123456789abcdef", dialect="vllm") as server:
        config = served_config(tmp_path, ran.reflector, f"execution.server.base_urls=[{server.url}]")
        with pytest.raises(
            PolicyFault, match=r"serves 0123456789abcdef, not checkpoint .*--served-model-name"
        ):
            factory(config)
        assert server.requests == []


def test_a_missing_key_stops_the_run_before_any_work(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.factory import factory
    from models.policy import PolicyFault

    monkeypatch.delenv("REFLECTOR_KEY")
    assert "REFLECTOR_KEY" not in os.environ
    with pytest.raises(PolicyFault, match="set the environment variable REFLECTOR_KEY"):
        factory(served_config(tmp_path, ran.reflector))
    assert not (tmp_path / "shards").exists()


def test_the_summary_says_what_a_kept_calibration_cost(ran: Ran) -> None:
    from cli.summary import print_costs
    from cli.terminal.console import make_console

    console = make_console(width=80, record=True)
    print_costs(console, Store(ran.config.data_dir), ran.run)
    said = console.export_text()
    ((kept, usd),) = ran.rows("SELECT kept, usd_per_kept FROM calibration_costs")
    assert f"per kept calibration ({kept}): " in said
    assert f"${usd:.4f}" in said
    assert "…" not in said  # nothing is cut off at 80 columns
