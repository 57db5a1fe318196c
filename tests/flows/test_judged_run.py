"""Whole runs with a language model as step judge, and with the policy as its own reflector."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from configs.schema import FactoryConfig
from flows.stages import STAGE_FLOWS
from models.judges.judge import JudgementFault
from storage.store import Store
from tests.support.fake_openai.replies import Request
from tests.support.fake_openai.server import FakeOpenAI, Fault
from tests.support.tiny_factory import tiny

pytestmark = pytest.mark.slow  # `make serving`

MODEL = "judge-1"


def says(asked: Request, _: int) -> str:
    """An arbitrary judge: bad if the prompt has an even number of letters."""
    even = len(asked["messages"][0]["content"]) % 2 == 0
    return json.dumps({"reason": "It does not help.", "label": "BAD" if even else "GOOD"})


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(MODEL, answer=says) as running:
        yield running


def config(data_dir: Path, server: FakeOpenAI, *more: str) -> FactoryConfig:
    return tiny(
        data_dir,
        f"judge.model={MODEL}",
        f"execution.reflector.base_urls=[{server.url}]",
        "execution.reflector.key_env=''",
        "execution.reflector.patience_seconds=2",
        f"budget.prices={{{MODEL}: {{input: 2.5, output: 10}}}}",
        *more,
    )


def rows(given: FactoryConfig, sql: str) -> list[tuple[Any, ...]]:
    return Store(given.data_dir).query(sql)[1]


@pytest.fixture(scope="module")
def judged(prefect_api: str, server: FakeOpenAI, tmp_path_factory: pytest.TempPathFactory) -> FactoryConfig:
    from flows.factory import factory

    given = config(
        tmp_path_factory.mktemp("judged"),
        server,
        "deviation.preset=judge",
        "rewards.mode=curtailed",
        "deviation.suffixes=every",
        "calibration.reflector=policy",
    )
    factory(given)
    return given


def test_labels_decide_and_no_rollout_is_played(judged: FactoryConfig) -> None:
    labels = dict(rows(judged, "SELECT label, count(*) FROM run_judgements GROUP BY ALL"))
    assert labels.keys() == {"good", "bad"}
    verdicts = dict(
        rows(judged, "SELECT rule, count(*) FROM run_deviations WHERE verdict <> 'filtered' GROUP BY ALL")
    )
    assert verdicts == {f"judged {label}": n for label, n in labels.items()}
    assert rows(judged, "SELECT count(*) FROM rollouts") == [(0,)]
    ((selected, tasks),) = rows(
        judged, "SELECT count_if(selected), count(DISTINCT task_id) FROM deviated_turns"
    )
    assert selected == tasks > 0


def test_the_calls_have_a_purpose_and_a_price(judged: FactoryConfig) -> None:
    ((purpose, calls, unpriced),) = rows(
        judged, "SELECT purpose, sum(calls), sum(unpriced) FROM llm_costs GROUP BY ALL"
    )
    assert (purpose, unpriced) == ("judgement", 0)
    ((turns,),) = rows(judged, "SELECT count(*) FROM judgements")
    assert 0 < calls <= turns  # equal prompts are asked for once
    assert rows(judged, "SELECT sum(usd) > 0 FROM stage_costs WHERE stage = 'rewards'") == [(True,)]


def test_a_policy_from_scratch_cannot_reflect_which_is_counted(judged: FactoryConfig) -> None:
    made = rows(judged, "SELECT reflector, kept, rejection, attempts FROM calibrations")
    assert made
    assert {row[0] for row in made} == {"policy"}
    assert ("policy", False, "no_reflection", 3) in made
    assert rows(judged, "SELECT count(*) FROM llm_calls WHERE purpose <> 'judgement'") == [(0,)]


def test_nothing_is_asked_again(judged: FactoryConfig, server: FakeOpenAI) -> None:
    asked = len(server.requests)
    again = {name: flow for name, flow in STAGE_FLOWS.items() if name in ("rewards", "calibrate")}
    for flow in again.values():
        flow(judged, force=True)
    statuses = rows(judged, "SELECT DISTINCT status FROM run_stages")
    assert statuses == [("completed",)]  # the redo gave the same, so nothing after it is outdated
    assert len(server.requests) == asked


def test_judgements_beside_rollouts_share_replies_and_agree_or_not(
    judged: FactoryConfig, server: FakeOpenAI
) -> None:
    """In the same data folder: the turns are those of the judged run, so no new reply is paid for."""
    asked = len(server.requests)
    given = config(judged.data_dir, server, "judge.ask=always", "name=beside")
    for stage in ("demonstrate", "warmup", "explore", "rewards"):
        STAGE_FLOWS[stage](given)
    assert len(server.requests) == asked
    ((n, agreed, kappa, bad),) = rows(
        judged, "SELECT n, agreed, kappa, bad FROM judge_agreement WHERE starts_with(run_id, 'beside')"
    )
    assert 0 < agreed <= n
    assert 0 < bad < n
    assert kappa is None or -1 <= kappa <= 1
    plain = config(judged.data_dir, server, "name=plain")
    for stage in ("demonstrate", "warmup", "explore", "rewards"):
        STAGE_FLOWS[stage](plain)
    sql = "SELECT deviation_id FROM run_deviations WHERE starts_with(run_id, '{}') ORDER BY 1"
    assert rows(judged, sql.format("beside")) == rows(judged, sql.format("plain")) != []


def test_a_judge_without_credit_ends_the_stage_and_the_next_run_asks_for_the_rest(
    judged: FactoryConfig, tmp_path: Path
) -> None:
    with FakeOpenAI(MODEL, answer=says) as other:
        given = config(
            tmp_path, other, "deviation.preset=judge", "rewards.mode=curtailed", "deviation.suffixes=every"
        )
        for stage in ("demonstrate", "warmup", "explore"):
            STAGE_FLOWS[stage](given)
        other.plan.fail_when(lambda record: record.number >= 3, Fault.quota())
        with pytest.raises(JudgementFault, match="no credit left"):
            STAGE_FLOWS["rewards"](given)
        other.plan.heal()
        STAGE_FLOWS["rewards"](given)
        served = [json.dumps(record.body) for record in other.requests if not record.fault]
    assert len(served) == len(set(served)) > 3
    assert rows(given, "SELECT count(*) FROM judgements WHERE label IS NULL") == [(0,)]
