"""Judging explored turns, and the verdicts that follow, without a language model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pytest

from configs.schema import DeviationConfig, FactoryConfig, RewardsConfig
from models.judges.judge import Judgement, JudgementRequest
from rollouts.rows import of_type, stored_trajectories
from rollouts.stages.decide import BEYOND, decide
from rollouts.stages.explore import explore
from rollouts.stages.judge import judge_turns
from rollouts.stages.score import score
from steca.vocabulary import JudgedLabel, Progress
from storage.faults import StorageFault
from storage.judgement import JudgementRecord
from storage.records import DeviationRecord, Record, RolloutRecord
from tests.support.rollouts_toys import Toy, config, demonstrated, fragile, world

Says = Callable[[JudgementRequest], JudgedLabel | None]


class ByHand:
    """A judge that says what a function says."""

    model = "by-hand"

    def __init__(self, says: Says) -> None:
        self._says = says
        self.requests: list[JudgementRequest] = []

    def judge(
        self, requests: Sequence[JudgementRequest], progress: Progress | None = None
    ) -> list[Judgement]:
        self.requests += requests
        return [Judgement(self._says(request), "so", 1) for request in requests]


def by_action(request: JudgementRequest) -> JudgedLabel:
    """An arbitrary judge: bad if the action has an even number of letters."""
    return "bad" if len(request.steps[-1].action) % 2 == 0 else "good"


def settings(**sections: Any) -> FactoryConfig:
    return config(
        environment={"step_cap": 14},
        judge={"model": "by-hand"},
        deviation={"preset": "judge", **sections.pop("deviation", {})},
        **sections,
    )


@cache
def explored() -> tuple[Record, ...]:
    rows: list[Record] = [*demonstrated(8)]
    return (*rows, *explore(world(), Toy(fragile(0.5)), rows, settings()))


def judged(says: Says = by_action, limit: int | None = None) -> list[Record]:
    return [*explored(), *judge_turns(ByHand(says), explored(), limit)]


def verdicts(records: Sequence[Record], limit: int | None = None) -> list[DeviationRecord]:
    return decide(records, DeviationConfig(preset="judge"), RewardsConfig(candidates=limit))


def test_the_paper_s_candidates_are_judged_each_once() -> None:
    paper = decide(explored(), DeviationConfig(preset="paper"), RewardsConfig(mode="fixed"))
    wanted = {(row.explored_trajectory_id, row.step_index) for row in paper if row.verdict != "filtered"}
    rows = judge_turns(ByHand(by_action), explored(), None)
    assert len(rows) == len(wanted) > 8
    assert {(row.trajectory_id, row.step_index) for row in rows} == wanted
    assert len({row.judgement_id for row in rows}) == len(rows)
    few = judge_turns(ByHand(by_action), explored(), 1)
    assert 0 < len(few) == len({row.task_id for row in few}) < len(rows)


def test_the_judge_sees_the_run_up_to_the_turn_and_no_more() -> None:
    judge = ByHand(by_action)
    rows = judge_turns(judge, explored(), None)
    runs = {run.id: run.trajectory for run in stored_trajectories(explored())}
    for row, request in zip(rows, judge.requests, strict=True):
        run = runs[row.trajectory_id]
        assert request.first_observation == run.first_observation
        assert list(request.steps) == list(run.steps[: row.step_index + 1])
        assert len(request.steps) < len(run.steps) or run.end != "running"


def test_a_turn_is_deviated_if_it_is_judged_bad() -> None:
    records = judged()
    labels = {
        (row.trajectory_id, row.step_index): row.label for row in records if isinstance(row, JudgementRecord)
    }
    met = set()
    for row in verdicts(records):
        if row.verdict == "filtered":
            assert row.rule in ("run succeeded", "step too early", "equal action")
            continue
        label = labels[row.explored_trajectory_id, row.step_index]
        assert row.verdict == ("deviated" if label == "bad" else "not_deviated")
        assert (row.rule, row.preset, row.gap) == (f"judged {label}", "judge", None)
        met.add(label)
    assert met == {"good", "bad"}


def test_only_the_first_bad_turn_of_a_task_is_selected() -> None:
    rows = verdicts(judged(lambda request: "bad"))
    deviated = [row for row in rows if row.verdict == "deviated"]
    first: dict[str, int] = {}
    for row in deviated:
        first.setdefault(row.task_id, row.step_index)
    assert {(row.task_id, row.step_index) for row in rows if row.selected} == set(first.items())
    assert len(deviated) > len(first)
    assert not [row for row in verdicts(judged(lambda request: "good")) if row.selected]


def test_no_usable_judgement_leaves_a_turn_undecided() -> None:
    rows = verdicts(judged(lambda request: None))
    assert {(row.verdict, row.rule) for row in rows if row.verdict != "filtered"} == {
        ("undecided", "no usable judgement")
    }
    assert not any(row.selected for row in rows)


def test_turns_beyond_the_limit_are_filtered_and_a_missing_judgement_is_a_fault() -> None:
    rows = verdicts(judged(limit=1), limit=1)
    assert BEYOND in {row.rule for row in rows}
    with pytest.raises(StorageFault, match="was not judged: run the stage again"):
        verdicts(judged(limit=1))


def test_other_presets_do_not_look_at_judgements() -> None:
    rules = DeviationConfig(preset="first_failure"), RewardsConfig()
    assert decide(judged(), *rules) == decide(explored(), *rules)


def rollouts_of(records: Sequence[Record], **sections: Any) -> int:
    policy = Toy(fragile(0.5))
    return len(of_type(score(world(), policy, records, settings(**sections)), RolloutRecord))


def test_rollouts_are_played_for_d_s_or_when_asked_for() -> None:
    none = {"expert_suffixes": False}
    curtailed: dict[str, Any] = {"mode": "curtailed", "rollouts": 2}
    assert rollouts_of(explored(), rewards=curtailed, datasets=none) == 0
    assert rollouts_of(explored(), rewards=curtailed, deviation={"suffixes": "every"}) == 0
    assert rollouts_of(explored(), rewards=curtailed) > 0
    assert rollouts_of(explored(), rewards={**curtailed, "evidence": "always"}, datasets=none) > 0


def test_rollouts_beside_judgements_are_those_of_the_paper_s_rule() -> None:
    """So a judged run shares them with one that compares rewards, and D_s is the same in both."""
    rewards = {"mode": "curtailed", "rollouts": 4, "evidence": "always"}
    made = {}
    for name in ("judge", "paper"):
        asked = settings(rewards=rewards, deviation={"preset": name})
        rows = [*judged(), *score(world(), Toy(fragile(0.5)), explored(), asked)]
        made[name] = rows, decide(rows, asked.deviation, asked.rewards)
    ids = [{row.rollout_id for row in of_type(rows, RolloutRecord)} for rows, _ in made.values()]
    assert ids[0] == ids[1]
    better = [[row.expert_is_better for row in found] for _, found in made.values()]
    assert better[0] == better[1]
    assert "yes" in better[0]
    assert any(row.gap is not None for row in made["judge"][1])
