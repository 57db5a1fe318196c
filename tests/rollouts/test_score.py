"""Scoring: which turns get rollouts, what is stored, and that rollouts depend on the turn and the seed only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from environments.alfworld.environment import AlfworldEnvironment
from environments.alfworld.generation.world import GeneratedAlfworld
from environments.base import StepResult, Task
from rollouts.play import EpisodeSettings, Start, execute, play, start_of
from rollouts.rows import demonstrations, explorations, of_type, stored_trajectories
from rollouts.stages.explore import explore
from rollouts.stages.score import score
from storage.records import Record, RolloutRecord, ScoredTurnRecord
from tests.support.rollouts_toys import (
    GARBAGE,
    LOOK,
    OPTIONS,
    SAMPLED,
    Speak,
    Toy,
    complete,
    config,
    demonstrated,
    erring,
    forever,
    fragile,
    of_task,
    world,
)

N = 4
COUNT = 5
FRAGILE = fragile(0.5)
SECTIONS: dict[str, Any] = {"environment": {"step_cap": 14}, "rewards": {"mode": "fixed", "rollouts": N}}
CONFIG = config(**SECTIONS)


def explored(speak: Speak, count: int = COUNT) -> list[Record]:
    rows = demonstrated(count)
    return [*rows, *explore(world(), Toy(speak), rows, CONFIG)]


def evidence(speak: Speak = FRAGILE, count: int = COUNT) -> tuple[list[Record], list[Record]]:
    records = explored(speak, count)
    return records, score(world(), Toy(speak), records, CONFIG)


def useful(records: Sequence[Record]) -> Iterator[tuple[str, str, int]]:
    """(expert run, explored run, step) of every failed run whose first action differs, by hand."""
    runs = explorations(records)
    for demo in demonstrations(records):
        for j, run in sorted(runs[demo.task.task_id].items()):
            action, theirs = run.trajectory.actions[j], demo.expert.trajectory.actions[j]
            if j > 0 and run.trajectory.outcome < 1 and action != theirs:
                yield demo.expert.id, run.id, j


def wanted(candidates: Sequence[tuple[str, str, int]]) -> set[tuple[str, int]]:
    return {turn for expert, run, j in candidates for turn in ((run, j), (expert, j), (expert, j - 1))}


def scored(rows: Sequence[Record]) -> Counter[tuple[str, int]]:
    return Counter((row.trajectory_id, row.step_index) for row in of_type(rows, ScoredTurnRecord))


def test_only_failed_runs_from_a_prefix_with_another_action_are_scored_each_turn_once() -> None:
    records, rows = evidence()
    candidates = list(useful(records))
    needed = [turn for expert, _, j in candidates for turn in ((expert, j), (expert, j - 1))]
    assert len(needed) > len(set(needed)), "no two comparisons share an expert turn: choose a worse policy"
    left_out = [
        run for runs in explorations(records).values() for j, run in runs.items() if j and run.record.success
    ]
    assert left_out, "no run from a prefix succeeded: nothing to leave out"
    assert scored(rows) == dict.fromkeys(wanted(candidates), 1)


def test_an_equal_action_with_another_thought_is_not_worth_rollouts() -> None:
    [demo] = demonstrations(demonstrated(1))
    same = f"Thought: Just so.\nAction: {demo.expert.trajectory.actions[2]}"
    records, rows = evidence(forever(same, at=2), 1)
    assert sorted(explorations(records)[demo.task.task_id]) == [0, 2]
    assert not any(run.record.success for run in explorations(records)[demo.task.task_id].values())
    assert rows == []


@pytest.mark.parametrize("limit", [1, 2])
def test_candidates_limits_to_the_earliest_of_each_task(limit: int) -> None:
    records = explored(FRAGILE)
    limited = config(
        environment={"step_cap": 14}, rewards={"mode": "fixed", "rollouts": N, "candidates": limit}
    )
    rows = score(world(), Toy(FRAGILE), records, limited)
    by_task: dict[str, list[tuple[str, str, int]]] = {}
    for candidate in useful(records):
        by_task.setdefault(candidate[0], []).append(candidate)
    assert any(len(all_of_task) > limit for all_of_task in by_task.values())
    earliest = [candidate for all_of_task in by_task.values() for candidate in all_of_task[:limit]]
    assert set(scored(rows)) == wanted(earliest)


def test_all_outcomes_are_stored_once_in_the_order_of_their_streams() -> None:
    _, rows = evidence()
    rollouts: dict[str, list[RolloutRecord]] = {}
    for rollout in of_type(rows, RolloutRecord):
        rollouts.setdefault(rollout.step_reward_id, []).append(rollout)
    totals = set()
    for turn in of_type(rows, ScoredTurnRecord):
        if turn.outcome is not None:
            assert turn.step_reward_id not in rollouts
            continue
        mine = rollouts.pop(turn.step_reward_id)
        assert [rollout.sample_index for rollout in mine] == list(range(N))
        assert len({rollout.seed for rollout in mine}) == N
        assert {(r.checkpoint, r.temperature, r.top_p) for r in mine} == {("toy", 1.0, 1.0)}
        totals.add(sum(rollout.outcome for rollout in mine))
    assert rollouts == {}, "rollouts without a scored turn"
    assert len(totals) > 2, "all values are alike: nothing was tested"


def test_a_rollout_happens_again_from_its_row_alone() -> None:
    """Replay the source trajectory's turns, then play with the stored seed: the same actions, outcome and progress."""
    records, rows = evidence(count=3)
    runs = {run.id: run for run in stored_trajectories(records)}
    demos = {demo.task.task_id: demo for demo in demonstrations(records)}
    rewards = {row.step_reward_id: row for row in of_type(rows, ScoredTurnRecord)}
    settings = EpisodeSettings(CONFIG.environment)
    for rollout in of_type(rows, RolloutRecord):
        reward = rewards[rollout.step_reward_id]
        task = demos[reward.task_id].task
        texts = [step.text for step in runs[reward.trajectory_id].trajectory.steps[: reward.step_index + 1]]
        after = execute(world(), start_of(world(), task), texts, "policy", settings)[-1]
        start = after.resume(task, rollout.seed)
        [again] = play(world(), Toy(FRAGILE), [start], SAMPLED, settings)
        assert again.trajectory.actions[len(texts) :] == tuple(rollout.actions)
        assert again.trajectory.steps[len(texts)].text == rollout.first_turn
        assert (again.trajectory.outcome, again.progress) == (rollout.outcome, rollout.progress)
        assert (again.trajectory.end, rollout.tokens) == (rollout.end_reason, 7 * rollout.n_steps)


def test_a_turn_that_ends_the_episode_has_its_true_outcome_and_no_rollouts() -> None:
    """The expert's last turn wins; under a cap at that step, the explored turn there must lose."""
    [demo] = demonstrations(demonstrated(1))
    last = len(demo.expert.trajectory.steps) - 1
    tight = config(environment={"step_cap": last + 1}, rewards={"mode": "fixed", "rollouts": N})
    speak = forever(LOOK, at=last)
    records = [*demonstrated(1), *explore(world(), Toy(speak), demonstrated(1), tight)]
    rows = score(world(), Toy(speak), records, tight)
    found = {(row.side, row.step_index): row for row in of_type(rows, ScoredTurnRecord)}
    assert set(found) == {("expert", last), ("explored", last), ("expert", last - 1)}
    assert (found["expert", last].outcome, found["explored", last].outcome) == (1.0, 0.0)
    assert found["expert", last - 1].outcome is None
    assert found["expert", last].progress == 1.0
    assert {r.step_reward_id for r in of_type(rows, RolloutRecord)} == {
        found["expert", last - 1].step_reward_id
    }


def test_scores_are_reproducible_and_do_not_depend_on_the_batch() -> None:
    records, rows = evidence()
    assert score(world(), Toy(FRAGILE), records, CONFIG) == rows
    for demo in demonstrations(records):
        task_id = demo.task.task_id
        alone = score(world(), Toy(FRAGILE), of_task(records, task_id), CONFIG)
        assert by_id(alone) == by_id(of_task(rows, task_id))


def by_id(rows: Sequence[Record]) -> dict[str, Record]:
    return {"/".join(str(getattr(row, name)) for name in row.key): row for row in rows}


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"rewards": {"mode": "fixed", "rollouts": N, "top_p": 0.9}},
        {"rewards": {"mode": "fixed", "rollouts": N, "temperature": 0.5}},
        {"environment": {"step_cap": 13}},
        {"policy": {"max_turn_tokens": 9}},
    ],
)
def test_differently_drawn_evidence_never_shares_an_id(change: dict[str, Any]) -> None:
    """Even if all outcomes are equal, as for a policy that always fails."""
    speak = forever(GARBAGE, at=2, then=LOOK)
    records = explored(speak, 2)
    one = score(world(), Toy(speak), records, CONFIG)
    other = score(world(), Toy(speak), records, config(**{**SECTIONS, **change}))
    assert {row.outcome for row in of_type(one, RolloutRecord)} & {0.0, 1.0}
    ids, others = ({row.step_reward_id for row in of_type(rows, ScoredTurnRecord)} for rows in (one, other))
    assert ids
    assert not ids & others


def test_another_scorer_never_shares_an_id() -> None:
    records = explored(FRAGILE, 2)
    one, other = (score(world(), Toy(FRAGILE, digest), records, CONFIG) for digest in ("toy", "other"))
    ids, others = ({row.step_reward_id for row in of_type(rows, ScoredTurnRecord)} for rows in (one, other))
    assert ids
    assert not ids & others


def test_more_rollouts_extend_the_stream_of_fewer() -> None:
    records, few = evidence()
    many = score(
        world(),
        Toy(FRAGILE),
        records,
        config(**{**SECTIONS, "rewards": {"mode": "fixed", "rollouts": N + 2}}),
    )
    assert by_id(few).items() <= by_id(many).items()
    assert len(of_type(many, RolloutRecord)) * N == len(of_type(few, RolloutRecord)) * (N + 2)


def test_rows_that_differ_in_tokens_only_have_ids_of_their_own() -> None:
    speak = forever(LOOK, at=2)
    records = explored(speak, 1)
    one = by_id(score(world(), Toy(speak, tokens=7), records, CONFIG))
    other = by_id(score(world(), Toy(speak, tokens=8), records, CONFIG))
    assert all(one[key] == other[key] for key in one.keys() & other.keys())
    assert not {k for k in one if isinstance(one[k], RolloutRecord)} & other.keys()


class PayingWorld(GeneratedAlfworld):
    """The small world, but the reward is the share of the goal reached."""

    name = "paying"
    version = "1"

    def environment(self) -> PayingEnvironment:
        return PayingEnvironment()


class PayingEnvironment(AlfworldEnvironment):
    def step(self, action: str) -> StepResult:
        return replace(super().step(action), reward=self.progress())


def test_partial_outcomes_are_kept_as_they_are() -> None:
    rows = score(complete(PayingWorld(OPTIONS)), Toy(FRAGILE), explored(FRAGILE), CONFIG)
    paid = [(row.outcome, row.progress) for row in of_type(rows, RolloutRecord)]
    assert all(outcome == progress for outcome, progress in paid)
    assert any(0 < outcome < 1 for outcome, _ in paid), "no rollout was paid in part: nothing was tested"


def test_progress_counts_the_rollouts() -> None:
    heard: list[tuple[int, int]] = []
    records = explored(FRAGILE, 2)
    rows = score(world(), Toy(FRAGILE), records, CONFIG, lambda done, of: heard.append((done, of)))
    assert heard[-1] == (len(of_type(rows, RolloutRecord)),) * 2
    assert heard == sorted(heard)


def test_a_start_is_not_changed_by_playing_from_it() -> None:
    task: Task = demonstrations(demonstrated(1))[0].task
    start: Start = start_of(world(), task, seed=3)
    settings = EpisodeSettings(CONFIG.environment)
    once = play(world(), Toy(erring(0.5)), [start] * 3, SAMPLED, settings)
    again = play(world(), Toy(erring(0.5)), [start], SAMPLED, settings)
    assert [run.trajectory for run in once] == [again[0].trajectory] * 3
