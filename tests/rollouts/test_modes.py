"""The modes of the rewards stage: which turns are sampled, in which order, and when sampling ends."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest

from configs.schema import BudgetConfig, FactoryConfig
from rollouts.budget import BudgetTracker
from rollouts.rows import demonstrations, of_type
from rollouts.stages.decide import AFTER_FIRST, decide
from rollouts.stages.explore import explore
from rollouts.stages.score import score
from steca.deviation import PRESETS
from storage.records import DeviationRecord, Record, RolloutRecord, ScoredTurnRecord
from tests.support.rollouts_toys import Toy, config, demonstrated, fragile, of_task, world

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


@pytest.mark.parametrize("preset", ["paper", "release", "probable"])
def test_curtailed_gives_the_verdicts_of_fixed_from_fewer_rollouts(preset: str) -> None:
    (all_of, fixed), (fewer, curtailed) = (ran(mode, preset, True) for mode in ("fixed", "curtailed"))
    for one, other in zip(fixed, curtailed, strict=True):
        assert one.selected == other.selected
        if other.rule == AFTER_FIRST:
            assert preset != "release"
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


@pytest.mark.parametrize("mode", ["fixed", "curtailed", "sequential"])
def test_the_probability_of_a_drop_decides_and_is_stored(mode: str) -> None:
    """In mode sequential on whatever rollouts the search for proofs has made."""
    _, rows = ran(mode, "probable", True)
    assert {row.verdict for row in rows} >= {"deviated", "not_deviated", "filtered"}
    for row in rows:
        if row.reference_reward is None and row.explored_reward is None:
            assert row.drop_probability is None
        elif row.verdict in ("deviated", "not_deviated"):
            assert row.drop_probability is not None
            assert (row.verdict == "deviated") == (row.drop_probability > 0.5)
    assert {row.expert_is_better for row in rows} >= {"yes", "no"}


def test_other_presets_store_no_probability() -> None:
    """Their rows stay as they were."""
    assert {row.drop_probability for row in ran("fixed", "paper")[1]} == {None}


def suffixed(
    mode: str, preset: str, suffixes: str, error_rate: float = 0.05, **rewards: Any
) -> tuple[int, list[DeviationRecord]]:
    """(rollouts, verdicts) with a rule of its own for D_s."""
    chosen = settings(mode, preset, True, **rewards)
    own = {"suffixes": suffixes, "error_rate": error_rate}
    chosen = chosen.model_copy(update={"deviation": chosen.deviation.model_copy(update=own)})
    rows = score(world(), Toy(fragile(0.5)), explored(), chosen)
    verdicts = decide([*explored(), *rows], chosen.deviation, chosen.rewards)
    return len(of_type(rows, RolloutRecord)), verdicts


def without_suffixes(rows: Sequence[DeviationRecord]) -> list[tuple[Any, ...]]:
    return [(row.task_id, row.step_index, row.verdict, row.rule, row.gap, row.selected) for row in rows]


def test_suffixes_by_means_use_the_same_rollouts_and_leave_the_verdicts_alone() -> None:
    (n, proven), (m, means) = (
        suffixed("sequential", "sequential", each, error_rate=0.001, worth=5000)
        for each in ("preset", "means")
    )
    assert n == m
    assert without_suffixes(proven) == without_suffixes(means)
    for row in means:
        if row.expert_reward is None or row.explored_reward is None or row.expert_is_better is None:
            assert row.expert_is_better in (None, "undecided")
        else:
            better = row.expert_reward > row.explored_reward + 0.01 + 1e-9
            assert row.expert_is_better == ("yes" if better else "no")
    yes = [sum(row.expert_is_better == "yes" for row in rows) for rows in (proven, means)]
    assert 0 < yes[0] < yes[1], "a proof asks for more than a larger mean"


def test_suffixes_by_means_are_the_papers_where_the_paper_decides() -> None:
    for mode in ("fixed", "curtailed"):
        own, means = (suffixed(mode, "paper", each) for each in ("preset", "means"))
        assert own[0] == means[0]
        assert [row.expert_is_better == "yes" for row in own[1]] == [
            row.expert_is_better == "yes" for row in means[1]
        ]


def test_every_suffix_of_a_failed_run_needs_no_rollouts() -> None:
    n, rows = suffixed("sequential", "every_failure", "every")
    assert n == 0
    for row in rows:
        differs = row.expert_action.split() != row.explored_action.split()
        wanted = differs and not row.explored_success and row.step_index >= 1
        assert row.expert_is_better == ("yes" if wanted else None)
    assert {row.expert_is_better for row in rows} == {"yes", None}
    always, scored = suffixed("curtailed", "every_failure", "every", evidence="always")
    assert always > 0
    assert any(row.expert_n for row in scored), "the weights need these rollouts"
    assert [row.expert_is_better for row in scored] == [row.expert_is_better for row in rows]


def test_an_undecided_comparison_is_never_selected() -> None:
    _, rows = ran("sequential", "sequential", True)
    undecided = [row for row in rows if row.verdict == "undecided"]
    assert undecided
    assert not any(row.selected for row in undecided)


@pytest.mark.parametrize("mode", ["curtailed", "sequential"])
def test_the_result_does_not_depend_on_what_shares_the_batch(mode: str) -> None:
    chosen = settings(mode, "paper" if mode == "curtailed" else "sequential", True)
    whole = score(world(), Toy(fragile(0.5)), explored(), chosen)
    demo = demonstrations(explored())[3]
    alone = score(world(), Toy(fragile(0.5)), of_task(explored(), demo.task.task_id), chosen)
    assert alone
    assert {row.model_dump_json() for row in alone} == {
        row.model_dump_json() for row in of_task(whole, demo.task.task_id)
    }


@pytest.mark.parametrize("mode", ["curtailed", "sequential"])
def test_no_task_waits_for_the_rounds_of_others(mode: str) -> None:
    """All tasks together need as many turns of the lockstep as the task that needs most, and give the rows of rounds
    in step (those under a budget that suffices)."""
    chosen = settings(mode, "paper" if mode == "curtailed" else "sequential", True)
    toy, limited = Toy(fragile(0.5)), Toy(fragile(0.5))
    rows = score(world(), toy, explored(), chosen)
    tracker = BudgetTracker(BudgetConfig(rollouts=10**6))
    assert score(world(), limited, explored(), chosen, tracker=tracker) == rows
    alone = []
    for demo in demonstrations(explored()):
        one = Toy(fragile(0.5))
        score(world(), one, of_task(explored(), demo.task.task_id), chosen)
        alone.append(len(one.sizes))
    assert len(toy.sizes) == max(alone)
    assert len(limited.sizes) > max(alone), "in step they should take longer here"
