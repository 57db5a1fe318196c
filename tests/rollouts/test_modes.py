"""The modes of the rewards stage: which turns are sampled, in which order, and when sampling ends."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest

from configs.schema import FactoryConfig
from rollouts.rows import of_type
from rollouts.stages.decide import AFTER_FIRST, decide
from rollouts.stages.explore import explore
from rollouts.stages.score import score
from steca.deviation import PRESETS
from storage.records import DeviationRecord, Record, RolloutRecord, ScoredTurnRecord
from tests.support.rollouts_toys import Toy, config, demonstrated, fragile, world

TASKS = 8


def settings(mode: str, preset: str, suffixes: bool = False, **rewards: Any) -> FactoryConfig:
    return config(
        environment={"step_cap": 14},
        rewards={"mode": mode, "rollouts": 4, **rewards},
        deviation={"preset": preset, "delta": 0.0},
        datasets={"expert_suffixes": suffixes},
    )


@cache
def explored(chance: float = 0.5) -> tuple[Record, ...]:
    rows = demonstrated(TASKS)
    return (*rows, *explore(world(), Toy(fragile(chance)), rows, settings("fixed", "paper")))


@cache
def ran(mode: str, preset: str, suffixes: bool = False) -> tuple[list[RolloutRecord], list[DeviationRecord]]:
    """(rollouts, verdicts)"""
    chosen = settings(mode, preset, suffixes)
    rows = score(world(), Toy(fragile(0.5)), explored(), chosen)
    verdicts = decide([*explored(), *rows], chosen.deviation, chosen.rewards)
    return of_type(rows, RolloutRecord), verdicts


@pytest.mark.parametrize("preset", ["paper", "release"])
def test_curtailed_gives_the_verdicts_of_fixed_from_fewer_rollouts(preset: str) -> None:
    (all_of, fixed), (fewer, curtailed) = (ran(mode, preset, True) for mode in ("fixed", "curtailed"))
    for one, other in zip(fixed, curtailed, strict=True):
        assert one.selected == other.selected
        if other.rule == AFTER_FIRST:
            assert preset == "paper"
        else:
            assert (one.verdict, one.rule) == (other.verdict, other.rule)
            assert one.expert_is_better == other.expert_is_better
    assert {row.verdict for row in fixed} >= {"deviated", "not_deviated"}
    assert {row.expert_is_better for row in fixed} >= {"yes", "no"}
    assert len(fewer) < len(all_of)
    assert {r.rollout_id for r in fewer} < {r.rollout_id for r in all_of}, "another random stream"


def test_nothing_is_sampled_after_a_tasks_first_deviation() -> None:
    rollouts, rows = ran("curtailed", "paper")
    sampled = {rollout.step_reward_id for rollout in rollouts}
    later = [row for row in rows if row.rule == AFTER_FIRST]
    assert later, "no task has a candidate after its first deviation"
    for row in later:
        assert row.explored_n is None
        assert any(r.selected and r.task_id == row.task_id and r.step_index < row.step_index for r in rows)
    assert {row.explored_step_reward_id for row in rows if row.explored_n} <= sampled


def test_a_rule_that_uses_every_deviation_is_not_cut_at_the_first() -> None:
    _, rows = ran("curtailed", "release")
    assert not [row for row in rows if row.rule == AFTER_FIRST]


def test_what_a_rules_own_filters_leave_out_is_not_sampled() -> None:
    """The release starts at step 2, so the turn at step 1 and its reference (step 0) get no rollouts."""
    rows = {
        mode: score(world(), Toy(fragile(0.5)), explored(), settings(mode, "release"))
        for mode in ("fixed", "curtailed")
    }
    steps = {
        mode: {row.step_index for row in of_type(found, ScoredTurnRecord) if row.outcome is None}
        for mode, found in rows.items()
    }
    assert min(steps["fixed"]) == 0
    assert min(steps["curtailed"]) == 1


def test_a_rule_without_rewards_is_given_rollouts_for_the_expert_suffixes_only() -> None:
    assert ran("sequential", "every_failure", False)[0] == []
    rollouts, rows = ran("sequential", "every_failure", True)
    assert rollouts
    assert {row.verdict for row in rows} == {"deviated", "filtered"}
    assert {row.expert_is_better for row in rows} > {None}


def test_evidence_can_be_asked_for_where_the_rule_needs_none() -> None:
    chosen = settings("sequential", "every_failure", False, evidence="always")
    rows = score(world(), Toy(fragile(0.5)), explored(), chosen)
    verdicts = decide([*explored(), *rows], chosen.deviation, chosen.rewards)
    assert {row.verdict for row in verdicts} == {"deviated", "filtered"}
    assert any(row.gap_high is not None and row.gap_high < 0 for row in verdicts)
    assert all(row.reference_n for row in verdicts if row.verdict == "deviated")


def test_sequential_verdicts_are_those_of_the_stored_evidence_and_stop_at_the_limit() -> None:
    rollouts, rows = ran("sequential", "sequential")
    rule = PRESETS["sequential"]
    assert {row.verdict for row in rows} >= {"deviated", "undecided", "filtered"}
    for row in rows:
        if row.verdict == "deviated":
            assert row.gap_high is not None
            assert row.gap_high <= rule.delta
        elif row.verdict == "undecided" and row.gap_low is not None and row.gap_high is not None:
            assert row.gap_low < rule.delta - rule.smallest_drop < row.gap_high
    most = settings("sequential", "sequential").rewards.max_rollouts
    counts = per_turn(rollouts)
    assert 1 <= min(counts) < max(counts) <= most


def per_turn(rollouts: Sequence[RolloutRecord]) -> list[int]:
    ids = [rollout.step_reward_id for rollout in rollouts]
    return [ids.count(name) for name in set(ids)]


def test_an_undecided_comparison_is_never_selected() -> None:
    _, rows = ran("sequential", "sequential", True)
    undecided = [row for row in rows if row.verdict == "undecided"]
    assert undecided
    assert not any(row.selected for row in undecided)


@pytest.mark.parametrize("mode", ["curtailed", "sequential"])
def test_the_result_does_not_depend_on_what_shares_the_batch(mode: str) -> None:
    from rollouts.rows import demonstrations
    from tests.support.rollouts_toys import of_task

    chosen = settings(mode, "paper" if mode == "curtailed" else "sequential", True)
    whole = score(world(), Toy(fragile(0.5)), explored(), chosen)
    demo = demonstrations(explored())[3]
    alone = score(world(), Toy(fragile(0.5)), of_task(explored(), demo.task.task_id), chosen)
    assert alone
    assert {row.model_dump_json() for row in alone} == {
        row.model_dump_json() for row in of_task(whole, demo.task.task_id)
    }
