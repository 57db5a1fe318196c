"""Evaluating: forced deviations are real, differ from the expert's turn, and are the same for every policy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from rollouts.rows import StoredTrajectory, demonstrations, of_type, stored_trajectories
from rollouts.stages.evaluate import evaluate, force_deviations
from storage.records import EvaluationRecord, Record
from tests.support.rollouts_toys import (
    GARBAGE,
    Speak,
    Toy,
    always,
    config,
    demonstrated,
    erring,
    executed,
    like_expert,
    of_task,
    runs_of,
    told,
    world,
)

CONFIG = config(environment={"step_cap": 16})
COUNT = 6
ERRING = erring(0.5)


@cache
def forced(speak: Speak = ERRING) -> tuple[Record, ...]:
    return tuple(force_deviations(world(), Toy(speak, "warm"), demonstrated(COUNT, "seen"), CONFIG))


def evaluated(speak: Speak, deviations: Sequence[Record], digest: str = "toy") -> list[Record]:
    records = [*demonstrated(COUNT, "seen"), *deviations]
    return evaluate(world(), Toy(speak, digest), records, CONFIG, "trained")


def heads(rows: Sequence[Record]) -> dict[tuple[str, str], EvaluationRecord]:
    return {(row.start, row.task_id): row for row in of_type(rows, EvaluationRecord)}


def runs(rows: Sequence[Record]) -> dict[str, StoredTrajectory]:
    return {run.id: run for run in stored_trajectories(rows)}


def test_a_forced_deviation_follows_the_expert_and_then_differs_from_it() -> None:
    demos = {demo.task.task_id: demo for demo in demonstrations(demonstrated(COUNT, "seen"))}
    found = runs_of(forced(), "forced_deviation")
    assert len(found) > 3
    for run in found:
        demo, steps = demos[run.record.task_id], run.trajectory.steps
        expert, at = demo.expert.trajectory.steps, len(run.trajectory.steps) - 1
        assert [s.text for s in steps[:at]] == [s.text for s in expert[:at]]
        assert steps[at].action != expert[at].action
        assert (run.record.prefix_steps, run.record.end_reason) == (at, "running")
        observations, _, over = executed(demo.task, [step.text for step in steps])
        assert observations == [step.observation for step in steps]
        assert not over
    assert len({run.record.prefix_steps for run in found}) > 2, "the points are drawn from the whole run"


def test_a_policy_that_never_differs_forces_nothing() -> None:
    assert forced(like_expert) == ()
    assert {row.start for row in of_type(evaluated(like_expert, ()), EvaluationRecord)} == {"task"}


def test_a_forced_deviation_does_not_depend_on_the_batch() -> None:
    for demo in demonstrations(demonstrated(COUNT, "seen")):
        mine = of_task(demonstrated(COUNT, "seen"), demo.task.task_id)
        alone = force_deviations(world(), Toy(erring(0.5), "warm"), mine, CONFIG)
        assert alone == of_task(forced(), demo.task.task_id)


def test_every_policy_starts_from_the_same_points_with_and_without_the_deviation() -> None:
    deviations = {run.record.task_id: run.trajectory for run in runs_of(forced(), "forced_deviation")}
    for speak, digest in ((like_expert, "a"), (always(GARBAGE), "b")):
        rows = evaluated(speak, forced(), digest)
        for (start, task_id), row in heads(rows).items():
            run = runs(rows)[row.trajectory_id].trajectory
            given = [(s.text, s.observation) for s in run.steps[: run.prefix]]
            history = deviations[task_id].steps if task_id in deviations else ()
            expected = {"task": (), "forced_deviation": history, "forced_control": history[:-1]}[start]
            assert given == [(s.text, s.observation) for s in expected]
            origins = [s.origin for s in run.steps]
            replayed = ["expert"] * len(expected)
            if start == "forced_deviation":
                replayed[-1] = "deviation"
            assert origins == replayed + ["policy"] * (len(origins) - len(expected))
        starts = [row.start for row in of_type(rows, EvaluationRecord)]
        assert [starts.count(s) for s in ("task", "forced_deviation", "forced_control")] == [
            COUNT, len(deviations), len(deviations),
        ]  # fmt: skip


def test_only_the_policys_own_invalid_actions_count() -> None:
    """The deviation is an unparsable turn; the expert continues without a mistake."""
    garbage = forced(always(GARBAGE))
    rows = evaluated(like_expert, garbage)
    after = [row for (start, _), row in heads(rows).items() if start == "forced_deviation"]
    assert len(after) > 3
    for row in after:
        run = runs(rows)[row.trajectory_id]
        assert (row.invalid_actions, run.record.invalid_actions) == (0, 1)
        assert row.n_steps == len(run.trajectory.steps)
        assert row.success
    lost = [r for (s, _), r in heads(evaluated(always(GARBAGE), garbage)).items() if s == "task"]
    assert {(row.invalid_actions, row.success) for row in lost} == {(5, False)}


def test_the_rows_say_what_happened() -> None:
    rows = evaluated(like_expert, forced(), "best")
    lengths = {
        d.task.task_id: len(d.expert.trajectory.steps) for d in demonstrations(demonstrated(COUNT, "seen"))
    }
    experts = {d.task.task_id: d.expert.trajectory for d in demonstrations(demonstrated(COUNT, "seen"))}
    for (start, task_id), row in heads(rows).items():
        run = runs(rows)[row.trajectory_id]
        assert (row.checkpoint, row.role, row.split, row.expert_steps) == (
            "best", "trained", "seen", lengths[task_id],
        )  # fmt: skip
        assert (run.record.kind, run.record.checkpoint) == ("evaluation", "best")
        assert row.success == run.record.success
        if start != "forced_deviation":
            assert told(run.trajectory) == told(experts[task_id])
    ids = [row.evaluation_id for row in of_type(rows, EvaluationRecord)]
    assert len(set(ids)) == len(ids)


def test_evaluation_is_greedy_and_forcing_samples() -> None:
    toy = Toy(erring(0.5))
    force_deviations(world(), toy, demonstrated(COUNT, "seen"), CONFIG)
    assert {sampling.temperature for sampling in toy.samplings} == {1.0}
    toy = Toy(erring(0.5))
    evaluate(world(), toy, [*demonstrated(COUNT, "seen"), *forced()], CONFIG, "warmup")
    assert {sampling.temperature for sampling in toy.samplings} == {0.0}
    assert evaluated(erring(0.5), forced()) == evaluated(erring(0.5), forced())
