"""Calibrating: kept repairs were executed to success, and rejected ones are stored with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest

from environments.alfworld.generation.world import GeneratedAlfworld
from environments.base import Environment
from environments.complete import CompleteWorld
from models.reflectors.reflector import NoReflection, Reflection, ReflectionRequest
from rollouts.rows import StoredTrajectory, demonstrations, of_type, stored_trajectories
from rollouts.stages.calibrate import calibrate
from rollouts.stages.decide import decide
from rollouts.stages.explore import explore
from steca.types import Step, Turn
from steca.vocabulary import Progress
from storage.ids import content_id
from storage.records import CalibrationRecord, DeviationRecord, Record
from tests.support.rollouts_toys import (
    GARBAGE,
    LOOK,
    OPTIONS,
    Speak,
    Toy,
    complete,
    config,
    demonstrated,
    executed,
    forever,
    fragile,
    of_task,
    runs_of,
    world,
)

THOUGHT = "That did not help.\nAction: look"
"""A reflection over two lines, the second of which looks like an action."""


class Thinker:
    label = "by-hand"

    def __init__(self) -> None:
        self.requests: list[ReflectionRequest] = []

    def reflect(
        self, requests: Sequence[ReflectionRequest], progress: Progress | None = None
    ) -> list[Reflection | NoReflection]:
        outcomes: list[Reflection | NoReflection] = []
        for request in requests:
            self.requests.append(request)
            outcomes.append(self.think(request))
            if progress:
                progress(len(outcomes), len(requests))
        return outcomes

    def think(self, request: ReflectionRequest) -> Reflection | NoReflection:
        return Reflection(THOUGHT, self.label)


class Hesitant(Thinker):
    """Gives no usable reflection for every other deviation."""

    def think(self, request: ReflectionRequest) -> Reflection | NoReflection:
        return (
            NoReflection("it mentions vase 9", 3) if len(self.requests) % 2 else Reflection(THOUGHT, "m", 2)
        )


def decided(speak: Speak, rows: Sequence[Record]) -> list[Record]:
    settings = config(deviation={"preset": "every_failure"})
    records = [*rows, *explore(world(), Toy(speak), rows, settings)]
    return [*records, *decide(records, settings.deviation, settings.rewards)]


def calibrated(
    records: Sequence[Record],
    replan: bool = True,
    where: CompleteWorld | None = None,
    thinker: Thinker | None = None,
) -> list[Record]:
    settings = config(calibration={"replan": replan})
    return calibrate(where or world(), thinker or Thinker(), records, settings)


@cache
def many() -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    records = decided(fragile(0.4), demonstrated(8))
    return tuple(records), tuple(calibrated(records))


def by_id(records: Sequence[Record]) -> dict[str, StoredTrajectory]:
    return {run.id: run for run in stored_trajectories(records)}


def test_every_selected_deviation_has_one_calibration() -> None:
    records, rows = many()
    selected = [row.deviation_id for row in of_type(records, DeviationRecord) if row.selected]
    assert [row.deviation_id for row in of_type(rows, CalibrationRecord)] == selected
    assert len(selected) > 5
    assert sum(row.kept for row in of_type(rows, CalibrationRecord)) > 3


def test_what_is_kept_wins_when_it_is_executed_again_with_what_was_observed() -> None:
    records, rows = many()
    demos = {demo.task.task_id: demo for demo in demonstrations(records)}
    for row in of_type(rows, CalibrationRecord):
        run = by_id(rows)[row.trajectory_id].trajectory
        observations, reward, over = executed(demos[row.task_id].task, [step.text for step in run.steps])
        assert observations == [step.observation for step in run.steps]
        assert row.kept == (reward == 1.0)
        assert (run.outcome, run.end == "done") == (reward, over)
        if row.kept:
            assert over
            assert all(step.valid for step in run.steps if step.origin == "repair")


def test_the_deviated_turn_is_in_it_and_the_reflection_opens_the_repair() -> None:
    records, rows = many()
    explored, deviations = by_id(records), {d.deviation_id: d for d in of_type(records, DeviationRecord)}
    for row in of_type(rows, CalibrationRecord):
        if not row.kept:
            continue
        found = deviations[row.deviation_id]
        t = found.step_index
        run = by_id(rows)[row.trajectory_id].trajectory
        then = explored[found.explored_trajectory_id].trajectory.steps
        said = [(s.text, s.observation) for s in run.steps]
        assert said[: t + 1] == [(s.text, s.observation) for s in then[: t + 1]]
        first = run.steps[t + 1]
        assert row.reflection == first.thought == "That did not help. Action: look"
        assert row.required_action == first.action
        assert first.text == f"Thought: {row.reflection}\nAction: {row.required_action}"
        if row.plan == "expert_suffix":
            assert row.required_action == found.expert_action
        assert row.reflector == "by-hand"


def test_authors_are_named_in_kept_and_rejected_runs_alike() -> None:
    records, rows = many()
    rejected = calibrated(records, where=complete(Misguided()))
    deviations = {d.deviation_id: d for d in of_type(records, DeviationRecord)}
    for some in (rows, rejected):
        for row in of_type(some, CalibrationRecord):
            run, t = by_id(some)[row.trajectory_id], deviations[row.deviation_id].step_index
            repair = len(run.trajectory.steps) - t - 1
            origins = [step.origin for step in run.trajectory.steps]
            assert origins == ["expert"] * t + ["deviation"] + ["repair"] * repair
            assert run.record.kind == ("calibrated" if row.kept else "rejected_repair")
            assert run.record.prefix_steps == t + 1


def test_the_reflector_is_asked_for_kept_repairs_only_and_sees_no_further_than_the_deviation() -> None:
    records, _ = many()
    thinker = Thinker()
    assert calibrated(misplaced(), replan=False, thinker=thinker)
    assert thinker.requests == []
    rows = calibrated(records, replan=False, thinker=thinker)
    kept = [row for row in of_type(rows, CalibrationRecord) if row.kept]
    assert len(thinker.requests) == len(kept) > 3
    deviations = {d.deviation_id: d for d in of_type(records, DeviationRecord)}
    for request, row in zip(thinker.requests, kept, strict=True):
        found = deviations[row.deviation_id]
        assert [s.action for s in request.steps][found.step_index :] == [found.explored_action]
        assert request.required_action == row.required_action


# A deviation after which the expert's own turns no longer fit: the mug in the hand is put down elsewhere.


def misplaced() -> list[Record]:
    """The expert has just taken what it needs; the policy puts it back where it was, then gives up."""
    for demo in demonstrations(demonstrated(12)):
        for at, step in enumerate(demo.expert.trajectory.steps[:-1]):
            words = step.action.split()
            if words[0] == "take" and demo.task.task_type.startswith("pick_clean"):
                back = f"Thought: Back.\nAction: put {words[1]} {words[2]} in/on {words[4]} {words[5]}"
                rows = of_task(demonstrated(12), demo.task.task_id)
                return decided(forever(back, at=at + 1), rows)
    raise AssertionError("no cleaning task among the first twelve")


def test_a_repair_is_replanned_where_the_experts_turns_no_longer_fit() -> None:
    records = misplaced()
    [deviation] = [row for row in of_type(records, DeviationRecord) if row.selected]
    [row] = of_type(rows := calibrated(records), CalibrationRecord)
    assert row.kept
    assert row.plan == "expert_continuation"
    run = by_id(rows)[row.trajectory_id].trajectory
    assert run.steps[deviation.step_index].valid, "the deviation really put it back"
    assert row.required_action.startswith("take ")
    assert row.required_action != deviation.expert_action
    assert run.success


def test_without_replanning_it_is_rejected_with_the_reason_and_stored() -> None:
    records = misplaced()
    [row] = of_type(rows := calibrated(records, replan=False), CalibrationRecord)
    assert (row.kept, row.plan, row.reflection) == (False, "expert_suffix", "")
    assert row.rejection in {"repair_failed", "invalid_repair"}
    assert "did nothing" in str(row.rejection_detail)
    [run] = runs_of(rows, "rejected_repair")
    assert not run.record.success
    assert runs_of(rows, "calibrated") == []


class Misguided(GeneratedAlfworld):
    """The small world with a useless expert and planner."""

    name = "misguided"
    version = "1"

    def __init__(self, plan: Sequence[Turn] | None = (Turn("Hm.", "look"),), continues: bool = True) -> None:
        super().__init__(OPTIONS)
        self._plan, self._continues = plan, continues

    def environment(self) -> Environment:
        inner: Any = super().environment()
        turn = Turn("Hm.", "look") if self._continues else None

        def expert_turn(first_observation: str, steps: Sequence[Step]) -> Turn | None:
            return turn

        inner.expert_turn = expert_turn
        inner.plan_repair = lambda: None if self._plan is None else list(self._plan)
        return inner  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        (complete(Misguided()), "repair_failed"),
        (complete(Misguided(plan=())), "no_plan"),
        (complete(Misguided(plan=None, continues=False)), "no_plan"),
        (complete(Misguided(plan=[Turn("Hm.", "dance")] * 9)), "repair_failed"),
        (complete(Misguided(plan=[Turn("Hm.", "look")] * 99)), "step_cap"),
    ],
)
def test_a_bad_plan_is_never_kept(where: CompleteWorld, reason: str) -> None:
    """Negative control: the execution check detects wrong plans of expert and planner."""
    thinker = Thinker()
    [row] = of_type(rows := calibrated(misplaced(), where=where, thinker=thinker), CalibrationRecord)
    assert (row.kept, row.plan) == (False, "planner")
    assert row.rejection == reason
    assert row.rejection_detail
    assert thinker.requests == []
    assert len(runs_of(rows, "rejected_repair")) == 1


def test_the_id_holds_reason_and_detail_as_one_text() -> None:
    """As in version 0.3: another id would be a second row for the same work."""
    [row] = of_type(calibrated(misplaced(), replan=False), CalibrationRecord)
    why = f"{row.rejection}: {row.rejection_detail}"
    parts = (row.deviation_id, row.trajectory_id, row.reflector, row.reflection, row.plan, why)
    assert row.calibration_id == content_id("calibration", *parts)


def test_the_planner_helps_where_the_exploring_expert_does_not() -> None:
    class Silent(Misguided):
        def environment(self) -> Environment:
            inner: Any = super().environment()
            del inner.plan_repair
            return inner  # type: ignore[no-any-return]

    [row] = of_type(calibrated(misplaced(), where=complete(Silent(continues=False))), CalibrationRecord)
    assert (row.kept, row.plan) == (True, "planner")


def test_a_deviation_that_ended_the_episode_leaves_nothing_to_repair() -> None:
    [demo] = demonstrations(demonstrated(1))
    last = len(demo.expert.trajectory.steps) - 1
    tight = config(environment={"step_cap": last + 1}, deviation={"preset": "every_failure"})
    records = [*demonstrated(1), *explore(world(), Toy(forever(LOOK, at=last)), demonstrated(1), tight)]
    records += decide(records, tight.deviation, tight.rewards)
    [row] = of_type(calibrate(world(), Thinker(), records, tight), CalibrationRecord)
    assert (row.kept, row.required_action) == (False, "")
    assert row.rejection == "nothing_repaired"
    assert row.rejection_detail


def test_a_prefix_that_does_not_happen_again_is_refused() -> None:
    """Negative control of the replay: a stored observation that the world does not give is noticed."""
    records = decided(forever(GARBAGE, at=2), demonstrated(1))
    forged = [
        record.model_copy(update={"observation": "You see a unicorn."})
        if getattr(record, "text", "") == GARBAGE
        else record
        for record in records
    ]
    kept = [row.kept for row in of_type(calibrated(records), CalibrationRecord)]
    [row] = of_type(calibrated(forged), CalibrationRecord)
    assert kept == [True]
    assert not row.kept
    assert row.rejection == "replay_diverged"
    assert row.rejection_detail


def test_a_repair_without_a_usable_reflection_is_rejected_and_stored_with_the_reason() -> None:
    records, rows = many()
    executed = [row for row in of_type(rows, CalibrationRecord) if row.kept]
    again = calibrated(records, thinker=Hesitant())
    by_deviation = {row.deviation_id: row for row in of_type(again, CalibrationRecord)}
    refused = [by_deviation[row.deviation_id] for row in executed[::2]]
    assert {
        (row.kept, row.rejection, row.rejection_detail, row.reflection, row.attempts) for row in refused
    } == {(False, "no_reflection", "it mentions vase 9", "", 3)}
    runs = {run.id: run for run in stored_trajectories(again)}
    assert {runs[row.trajectory_id].record.kind for row in refused} == {"rejected_repair"}
    assert {runs[row.trajectory_id].trajectory.success for row in refused} == {True}
    thought_of = [by_deviation[row.deviation_id] for row in executed[1::2]]
    assert thought_of
    assert all(row.kept and row.attempts == 2 for row in thought_of)


def test_calibrating_again_gives_the_same_rows_and_reports_progress() -> None:
    records, rows = many()
    heard: list[tuple[int, int]] = []
    again = calibrate(world(), Thinker(), records, config(), lambda done, of: heard.append((done, of)))
    assert tuple(again) == rows
    total = sum(row.kept for row in of_type(rows, CalibrationRecord))
    assert heard == [(i, total) for i in range(1, total + 1)]
