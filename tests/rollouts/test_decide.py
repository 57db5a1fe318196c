"""Deciding: eq. 5 over stored rollouts, without a policy or a world."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest

from configs.schema import DeviationConfig, RewardsConfig
from rollouts.rows import demonstrations, explorations, of_type
from rollouts.stages.decide import decide, scored_explorations
from rollouts.stages.explore import explore
from rollouts.stages.score import score
from storage.records import DeviationRecord, Record, RolloutRecord, ScoredTurnRecord
from tests.support.rollouts_toys import LOOK, Toy, config, demonstrated, forever, fragile, world

FRAGILE = fragile(0.5)


def judged(records: Sequence[Record], rollouts: int = 4, **deviation: Any) -> list[DeviationRecord]:
    """The verdicts of the paper's rule, or of another, on N rollouts."""
    fixed = RewardsConfig(mode="fixed", rollouts=rollouts, candidates=deviation.pop("candidates", None))
    return decide(records, DeviationConfig(**{"preset": "paper", **deviation}), fixed)


@cache
def evidence(candidates: int | None = None) -> tuple[Record, ...]:
    settings = config(
        environment={"step_cap": 14}, rewards={"mode": "fixed", "rollouts": 4, "candidates": candidates}
    )
    rows = demonstrated(5)
    records = [*rows, *explore(world(), Toy(FRAGILE), rows, settings)]
    return (*records, *score(world(), Toy(FRAGILE), records, settings))


def values(records: Sequence[Record], column: str = "outcome") -> dict[tuple[str, int], float]:
    """(trajectory, step) -> mean of a column over the stored rollouts; the known value of a terminal turn."""
    found = {}
    for row in of_type(records, ScoredTurnRecord):
        mine = [r for r in of_type(records, RolloutRecord) if r.step_reward_id == row.step_reward_id]
        ended = getattr(row, column)
        mean = sum(getattr(r, column) for r in mine) / len(mine) if ended is None else ended
        found[row.trajectory_id, row.step_index] = mean
    return found


def rows_by_step(rows: Sequence[DeviationRecord]) -> dict[tuple[str, int], DeviationRecord]:
    return {(row.task_id, row.step_index): row for row in rows}


def test_each_differing_explored_turn_has_exactly_one_row() -> None:
    rows = judged(evidence())
    differing = [
        (demo.task.task_id, j)
        for demo in demonstrations(evidence())
        for j, run in sorted(explorations(evidence())[demo.task.task_id].items())
        if run.trajectory.steps[j].text != demo.expert.trajectory.steps[j].text
    ]
    assert [(row.task_id, row.step_index) for row in rows] == differing
    assert len({row.deviation_id for row in rows}) == len(rows) > 5


@pytest.mark.parametrize("outcome", ["success", "progress"])
@pytest.mark.parametrize("delta", [-0.3, 0.0, 0.3, 1.0])
def test_eq_5_decides_over_the_stored_outcomes(delta: float, outcome: Any) -> None:
    known = values(evidence(), "progress" if outcome == "progress" else "outcome")
    compared = 0
    for row in judged(evidence(), delta=delta, outcome=outcome):
        if row.verdict == "filtered":
            assert row.gap is None
            continue
        explored = known[row.explored_trajectory_id, row.step_index]
        reference = known[row.expert_trajectory_id, row.step_index - 1]
        assert row.gap == pytest.approx(explored - reference)
        assert (row.explored_reward, row.reference_reward) == pytest.approx((explored, reference))
        assert row.verdict == ("deviated" if explored - reference < delta - 1e-9 else "not_deviated")
        assert (row.delta, row.preset, row.outcome) == (delta, "paper", outcome)
        compared += 1
    assert compared > 3


def test_another_delta_gives_other_verdicts_over_the_same_evidence() -> None:
    low, high = (judged(evidence(), delta=delta) for delta in (-1.0, 1.0))
    assert {row.verdict for row in low} == {"not_deviated", "filtered"}
    assert {row.verdict for row in high} >= {"deviated"}
    for a, b in zip(low, high, strict=True):
        assert (a.gap, a.reference_step_reward_id) == (b.gap, b.reference_step_reward_id)
        assert a.deviation_id != b.deviation_id


def test_success_and_progress_are_different_evidence() -> None:
    by_success, by_progress = (judged(evidence(), outcome=o) for o in ("success", "progress"))
    assert any(a.gap != b.gap for a, b in zip(by_success, by_progress, strict=True))


def crafted(expert_before: list[float], expert_same: list[float], explored: list[float]) -> list[Record]:
    """One failed run that differs at step 2, with rollouts written by hand."""
    speak = forever(LOOK, at=2)
    records: list[Record] = [*demonstrated(1), *explore(world(), Toy(speak), demonstrated(1), config())]
    [demo] = demonstrations(records)
    run = explorations(records)[demo.task.task_id][2]
    sides = (("expert", demo.expert.id, 1, expert_before), ("expert", demo.expert.id, 2, expert_same),
             ("explored", run.id, 2, explored))  # fmt: skip
    for side, holder, step, outcomes in sides:
        name = f"{side}{step}"
        records.append(
            ScoredTurnRecord(
                step_reward_id=name,
                task_id=demo.task.task_id,
                trajectory_id=holder,
                step_index=step,
                side=side,
                checkpoint="toy",
            )
        )
        records += [
            RolloutRecord(
                rollout_id=f"{name}-{i}", step_reward_id=name, sample_index=i, checkpoint="toy", seed=i,
                temperature=1.0, top_p=1.0, outcome=outcome, progress=1.0 - outcome, n_steps=1, tokens=7,
                end_reason="done", actions=["look"],
            )
            for i, outcome in enumerate(outcomes)
        ]  # fmt: skip
    return records


@pytest.mark.parametrize(
    ("before", "same", "explored", "deviated"),
    [
        (
            [0, 1],
            [1, 1],
            [0, 1],
            False,
        ),  # a tie with the previous expert turn, though below the one at its step
        ([1, 1], [0, 0], [0, 1], True),  # below the previous expert turn, though above the one at its step
        ([0, 0], [1, 1], [0, 1], False),
    ],
)
def test_the_reference_is_the_previous_expert_turn(
    before: list[float], same: list[float], explored: list[float], deviated: bool
) -> None:
    [row] = judged(crafted(before, same, explored), 2)
    assert (row.verdict == "deviated") is deviated
    assert row.selected is deviated
    assert row.reference_step_reward_id == "expert1"
    assert row.expert_step_reward_id == "expert2"
    assert row.explored_step_reward_id == "explored2"


def test_a_tie_deviates_in_the_release_and_not_in_the_paper() -> None:
    records = crafted([0, 1], [1, 1], [1, 0])
    verdicts = {
        name: rows_by_step(judged(records, 2, preset=name))[task_of(records), 2].verdict
        for name in ("paper", "release")
    }
    assert verdicts == {"paper": "not_deviated", "release": "deviated"}


def test_progress_turns_the_crafted_verdict_round() -> None:
    """Here progress is 1 - outcome, so reading the wrong column gives the opposite verdict."""
    records = crafted([1, 1], [1, 1], [0, 1])
    verdicts = [judged(records, 2, outcome=o)[-1].verdict for o in ("success", "progress")]
    assert verdicts == ["deviated", "not_deviated"]


def task_of(records: Sequence[Record]) -> str:
    return demonstrations(records)[0].task.task_id


def test_what_was_filtered_says_why() -> None:
    rows = judged(evidence())
    runs = explorations(evidence())
    reasons = set()
    for row in rows:
        run = runs[row.task_id][row.step_index]
        expected = None
        if run.record.success:
            expected = "run succeeded"
        elif row.step_index == 0:
            expected = "step too early"
        elif row.explored_action == row.expert_action:
            expected = "equal action"
        assert (row.rule if row.verdict == "filtered" else None) == expected
        reasons.add(expected)
    assert reasons >= {None, "run succeeded", "step too early"}


def test_an_equal_action_with_another_thought_never_deviates() -> None:
    same = f"Thought: Just so.\nAction: {demonstrations(demonstrated(1))[0].expert.trajectory.actions[2]}"
    records = [*demonstrated(1), *explore(world(), Toy(forever(same, at=2)), demonstrated(1), config())]
    [row] = judged(records, preset="every_failure")
    assert (row.step_index, row.verdict, row.rule, row.selected) == (2, "filtered", "equal action", False)


def test_what_was_not_scored_is_filtered_and_never_assumed() -> None:
    all_scored = rows_by_step(judged(evidence()))
    limited = rows_by_step(judged(evidence(1), candidates=1))
    beyond = [key for key, row in limited.items() if row.rule == "beyond rewards.candidates"]
    assert beyond
    assert all(all_scored[key].verdict != "filtered" for key in beyond)
    assert all(limited[key].gap == all_scored[key].gap for key in limited.keys() - set(beyond))
    first = {task: min(j for t, j in beyond if t == task) for task, _ in beyond}
    for task, j in first.items():
        assert any(t == task and i < j and r.verdict != "filtered" for (t, i), r in limited.items())


@pytest.mark.parametrize(
    ("preset", "first_only"),
    [("paper", True), ("release", False), ("first_failure", True), ("every_failure", False)],
)
def test_selected_are_the_first_deviations_or_all(preset: Any, first_only: bool) -> None:
    rows = judged(evidence(), preset=preset, delta=0.9)
    deviated: dict[str, list[int]] = {}
    for row in rows:
        if row.verdict == "deviated":
            deviated.setdefault(row.task_id, []).append(row.step_index)
    assert any(len(steps) > 1 for steps in deviated.values()), "first and all are the same here"
    expected = {(t, j) for t, steps in deviated.items() for j in (sorted(steps)[:1] if first_only else steps)}
    assert {(row.task_id, row.step_index) for row in rows if row.selected} == expected


def test_the_controls_need_no_rewards() -> None:
    unscored = [r for r in evidence() if not isinstance(r, ScoredTurnRecord | RolloutRecord)]
    with_rewards = judged(evidence(), preset="first_failure")
    without = judged(unscored, preset="first_failure")
    assert [(r.task_id, r.step_index, r.verdict, r.selected) for r in without] == [
        (r.task_id, r.step_index, r.verdict, r.selected) for r in with_rewards
    ]
    assert any(row.selected for row in without)
    assert {row.verdict for row in judged(unscored)} == {"filtered", "undecided"}


def test_the_same_decision_has_the_same_rows() -> None:
    assert judged(evidence()) == judged(evidence())
    assert all(
        found.exploration.step == found.explored.record.prefix_steps
        for found in scored_explorations(evidence(), "success")
    )
