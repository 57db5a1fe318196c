"""Assembling: D_c, D_e, D_s and the expert runs of a few tasks, worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import hypot
from typing import Any

import pytest

from configs.schema import DatasetConfig
from rollouts.rows import Demonstration, StoredTrajectory, demonstrations, explorations, of_type
from rollouts.stages.assemble import assemble, describe_sampled, training_inputs, warmup_examples
from rollouts.stages.demonstrate import demonstrate
from rollouts.stages.explore import sample_runs
from steca.distance import lexical_distance
from steca.posterior import drop_probability
from steca.rewards import Tally
from storage.records import CalibrationRecord, DeviationRecord, Record, TrainingExampleRecord
from tests.support.rollouts_toys import (
    GARBAGE,
    LOOK,
    Seen,
    Speak,
    Toy,
    by_task,
    config,
    forever,
    like_expert,
    runs_of,
    tasks,
    world,
)
from tests.support.staged_rows import StagedRows, staged_rows

LAM = 0.5
CONFIG = config(
    environment={"step_cap": 14},
    rewards={"mode": "fixed", "rollouts": 2},
    deviation={"preset": "paper", "delta": 0.5},
    datasets={"lam": LAM},
)


def hesitant(now: Seen) -> str:
    """Looks around first, then acts as the expert: a success from scratch, and no other run."""
    return like_expert(now) if now.steps else LOOK


def hopeless(now: Seen) -> str:
    """Only looks from its third turn on, wherever it starts: every value is 0 except the winning turn's."""
    return LOOK if len(now.steps) >= 2 else like_expert(now)


@dataclass(frozen=True)
class Case:
    """Three explored tasks: `clear` is won with a detour; `once` is lost by its third turn and only by that;
    `lost` is lost whatever the expert did before. `other` was demonstrated and not explored."""

    made: StagedRows
    demonstrated: tuple[Record, ...]
    clear: Demonstration
    once: Demonstration
    lost: Demonstration
    other: Demonstration


@cache
def case() -> Case:
    chosen = tasks(4)
    rows = demonstrate(world(), chosen[:3], CONFIG)
    other = demonstrate(world(), chosen[3:], CONFIG)
    clear, once, lost = demonstrations(rows)
    speakers: dict[str, Speak] = {
        clear.expert.trajectory.first_observation: hesitant,
        once.expert.trajectory.first_observation: forever(LOOK, at=2, then=GARBAGE),
        lost.expert.trajectory.first_observation: hopeless,
    }
    made = staged_rows(rows, Toy(by_task(speakers)), CONFIG)
    return Case(made, tuple(other), clear, once, lost, demonstrations(other)[0])


def assembled(**switches: Any) -> list[TrainingExampleRecord]:
    now = case()
    datasets = DatasetConfig(lam=LAM, **switches)
    return assemble(now.made.records, now.demonstrated, datasets)


def only(name: str, **more: Any) -> list[TrainingExampleRecord]:
    every = ("calibrated", "explored_successes", "expert_suffixes", "expert_runs", "explored_expert_runs")
    return assembled(**{**dict.fromkeys(every, False), name: True, **more})


def keys(rows: Sequence[TrainingExampleRecord]) -> list[tuple[str, str, int]]:
    return [(row.dataset, row.trajectory_id, row.target_from) for row in rows]


def length(demo: Demonstration) -> int:
    return len(demo.expert.trajectory.steps)


def kept(demo: Demonstration) -> list[CalibrationRecord]:
    rows = of_type(case().made.records, CalibrationRecord)
    return [row for row in rows if row.kept and row.task_id == demo.task.task_id]


def test_the_case_is_what_it_says() -> None:
    now = case()
    found = explorations(now.made.records)
    assert list(found[now.clear.task.task_id]) == [0]
    assert now.made.run(now.clear, 0).record.success
    assert sorted(found[now.once.task.task_id]) == [0, 2]
    assert sorted(found[now.lost.task.task_id]) == [0, *range(2, length(now.lost))]
    assert not any(r.record.success for d in (now.once, now.lost) for r in found[d.task.task_id].values())


def test_calibrated_targets_start_after_the_deviated_turn() -> None:
    """delta .5: the gap is 0 for both lost tasks, and the first deviation of each is at step 2."""
    now = case()
    [one], [two] = kept(now.once), kept(now.lost)
    assert keys(only("calibrated")) == [("calibrated", row.trajectory_id, 3) for row in (one, two)]
    runs = {run.id: run.trajectory for run in runs_of_case("calibrated")}
    assert [runs[row.trajectory_id].steps[2].origin for row in (one, two)] == ["deviation"] * 2
    assert [row.deviation_id for row in only("calibrated")] == [one.deviation_id, two.deviation_id]
    assert [row.calibration_id for row in only("calibrated")] == [one.calibration_id, two.calibration_id]


def test_explored_successes_are_from_scratch() -> None:
    now = case()
    assert keys(only("explored_successes")) == [("explored_success", now.made.run(now.clear, 0).id, 0)]


def test_expert_suffixes_are_where_the_experts_turn_is_worth_more() -> None:
    """`once`: after the expert's third turn all goes well, after the policy's all is lost. `lost`: 0 on both sides,
    until the expert's last turn wins. From scratch the failure alone decides, and the whole run is the target."""
    now = case()
    assert sorted(keys(only("expert_suffixes"))) == sorted(
        [
            ("expert_suffix", now.once.expert.id, 0),
            ("expert_suffix", now.once.expert.id, 2),
            ("expert_suffix", now.lost.expert.id, 0),
            ("expert_suffix", now.lost.expert.id, length(now.lost) - 1),
        ]
    )


def test_expert_runs_are_kept_whole_and_of_the_explored_tasks_on_request() -> None:
    now = case()
    assert keys(only("expert_runs")) == [("expert", now.other.expert.id, 0)]
    explored = [("expert", demo.expert.id, 0) for demo in (now.clear, now.once, now.lost)]
    assert keys(only("explored_expert_runs")) == explored
    assert {(row.weight, row.distance) for row in only("explored_expert_runs")} == {(1.0, None)}


def test_sampled_successes_are_trained_once_for_each_sequence_of_actions() -> None:
    """The expert's way twice and a detour once, of each of three tasks; and what the log says of it."""
    now, sampled = case(), []
    for index, speak in enumerate((like_expert, like_expert, hesitant, hopeless)):
        sampled += sample_runs(world(), Toy(speak), now.made.records, CONFIG, index)
    datasets = DatasetConfig(
        calibrated=False,
        explored_successes=False,
        expert_suffixes=False,
        expert_runs=False,
        sampled_successes=True,
    )
    rows = assemble([*now.made.records, *sampled], (), datasets)
    runs = {run.id: run.record for run in runs_of(sampled, "sampled")}
    assert [(runs[row.trajectory_id].task_id, runs[row.trajectory_id].sample_index) for row in rows] == [
        (demo.task.task_id, index) for demo in (now.clear, now.once, now.lost) for index in (0, 2)
    ]
    assert {(row.dataset, row.target_from, row.weight) for row in rows} == {("sampled_success", 0, 1.0)}
    assert describe_sampled(sampled) == (
        "12 sampled runs: 9 succeeded, 3 of them with the actions of another one of the same task, so 6 are trained on"
    )


def test_one_example_for_each_trajectory_and_first_target() -> None:
    """The whole expert runs of the lost tasks are D_s already."""
    rows = assembled(explored_expert_runs=True)
    assert len({(row.trajectory_id, row.target_from) for row in rows}) == len(rows)
    assert len({row.example_id for row in rows}) == len(rows)
    now = case()
    whole = {row.trajectory_id: row.dataset for row in rows if row.target_from == 0}
    assert whole[now.once.expert.id] == whole[now.lost.expert.id] == "expert_suffix"
    assert whole[now.clear.expert.id] == whole[now.other.expert.id] == "expert"
    assert len(rows) == 2 + 1 + 4 + 1 + 1


def test_a_task_demonstrated_and_explored_is_learned_once() -> None:
    now = case()
    rows = assemble(now.made.records, now.made.records, DatasetConfig(explored_expert_runs=True))
    assert len({(row.trajectory_id, row.target_from) for row in rows}) == len(rows) == 8


@pytest.mark.parametrize(
    "switch", ["calibrated", "explored_successes", "expert_suffixes", "expert_runs", "explored_expert_runs"]
)
def test_the_mix_is_the_sum_of_its_switches(switch: str) -> None:
    whole, without = (
        assembled(explored_expert_runs=True),
        assembled(**{"explored_expert_runs": True, switch: False}),
    )
    assert {row.example_id for row in without} != {row.example_id for row in whole}
    pairs = {(row.trajectory_id, row.target_from) for row in whole}
    assert {(r.trajectory_id, r.target_from) for r in without} <= pairs
    assert {(r.trajectory_id, r.target_from) for r in only(switch)} <= pairs
    assert only("expert_runs", expert_runs=False) == []


def test_the_weight_of_an_explored_success_by_hand() -> None:
    """One look, then the expert's turns: the look is aligned with the first of them, the rest has distance 0."""
    [row] = only("explored_successes")
    expert = case().clear.expert.trajectory.actions
    distance = lexical_distance("look", expert[0]) / hypot(len(expert), len(expert) + 1)
    assert row.distance == pytest.approx(distance)
    assert row.weight == pytest.approx(1 - LAM * distance)
    assert row.contrast_trajectory_id == case().clear.expert.id


def test_the_weight_of_the_last_expert_turn_by_hand() -> None:
    """One turn against k looks, each at the same distance."""
    now = case()
    last = length(now.lost) - 1
    at = (now.lost.expert.id, last)
    [row] = [row for row in only("expert_suffixes") if (row.trajectory_id, row.target_from) == at]
    looks = now.made.run(now.lost, last).trajectory.actions[last:]
    assert set(looks) == {"look"}
    assert len(looks) > 1
    each = lexical_distance(now.lost.expert.trajectory.actions[last], "look")
    distance = len(looks) * each / hypot(1, len(looks))
    assert row.distance == pytest.approx(distance)
    assert row.weight == pytest.approx(1 + LAM * distance)


def test_a_calibrated_run_is_weighed_against_what_the_agent_did_next() -> None:
    """Only unparsable turns followed: an empty action has distance 1 from every other."""
    now = case()
    [row] = [row for row in only("calibrated") if row.task_id == now.once.task.task_id]
    contrast = now.made.run(now.once, 2).trajectory.actions[3:]
    assert set(contrast) == {""}
    repair = length(now.once) - 2
    distance = max(repair, len(contrast)) / hypot(repair, len(contrast))
    assert row.weight == pytest.approx(1 + LAM * distance)


def test_without_weighting_all_weigh_1() -> None:
    assert {row.weight for row in assembled(weighting="none")} == {1.0}
    assert {row.weight for row in assembled()} != {1.0}


def test_training_inputs_train_on_the_targets_only() -> None:
    now = case()
    rows = assembled(explored_expert_runs=True)
    records = [*now.made.records, *now.demonstrated]
    runs = {run.id: run.trajectory for kind in KINDS for run in runs_of_case(kind)}
    for row, example in zip(rows, training_inputs(world(), rows, records, "plain"), strict=True):
        steps = runs[row.trajectory_id].steps
        assert example.weight == row.weight
        assert example.targets == [False] * row.target_from + [True] * (len(steps) - row.target_from)
        said = [message["content"] for message in example.messages if message["role"] == "assistant"]
        assert said == [step.text for step in steps]
        assert example.messages[-1]["content"] == steps[-1].observation
        assert not any(
            target for target, step in zip(example.targets, steps, strict=True) if step.origin == "deviation"
        )


KINDS = ("expert", "explored", "calibrated")


def runs_of_case(kind: str) -> list[StoredTrajectory]:
    return runs_of([*case().made.records, *case().demonstrated], kind)


def test_the_warm_up_learns_whole_expert_runs() -> None:
    now = case()
    examples = warmup_examples(world(), now.made.records, "plain")
    assert [example.name for example in examples] == [d.expert.id for d in (now.clear, now.once, now.lost)]
    assert {example.weight for example in examples} == {1.0}
    assert all(all(example.targets) for example in examples)


def test_weights_by_probability_multiply_those_by_distance() -> None:
    """P(drop) for D_c, P(the expert's turn is better) for D_s; D_e as by distance."""
    now = case()
    verdicts = {row.deviation_id: row for row in of_type(now.made.records, DeviationRecord)}
    plain = {(row.dataset, row.trajectory_id, row.target_from): row for row in assembled()}
    rows = assembled(weighting="probability")
    assert keys(rows) == [*plain]
    factors = {}
    for row in rows:
        by_distance = plain[row.dataset, row.trajectory_id, row.target_from].weight
        if row.deviation_id is None:  # D_e, whole runs, and D_s from scratch, where nothing was compared
            assert row.weight == by_distance
            continue
        found = verdicts[row.deviation_id]
        explored = Tally.stored(found.explored_reward, found.explored_n)
        if row.dataset == "calibrated":
            reference = Tally.stored(found.reference_reward, found.reference_n)
            expected = drop_probability(reference, explored, found.delta)
        else:
            expected = drop_probability(Tally.stored(found.expert_reward, found.expert_n), explored)
        assert row.weight == pytest.approx(expected * by_distance)
        factors[row.dataset, row.task_id] = expected
    assert factors["expert_suffix", now.once.task.task_id] > 0.9, "2 of 2 against 0 of 2"
    assert factors["expert_suffix", now.lost.task.task_id] == pytest.approx(
        drop_probability(Tally(known=1.0), Tally(2, 0))
    )


def test_turns_without_rollouts_weigh_by_the_prior() -> None:
    """Nothing is known of either turn, so a drop is as probable as none: 1/2, where delta is 0."""
    now = case()
    unscored = [
        row.model_copy(
            update={
                "delta": 0.0,
                **{
                    f"{side}_{what}": None
                    for side in ("reference", "expert", "explored")
                    for what in ("reward", "n")
                },
            }
        )
        if isinstance(row, DeviationRecord)
        else row
        for row in now.made.records
    ]
    plain, weighed = (
        assemble(unscored, now.demonstrated, DatasetConfig(lam=LAM, weighting=weighting))
        for weighting in ("distance", "probability")
    )
    compared = [(one, other) for one, other in zip(plain, weighed, strict=True) if other.deviation_id]
    assert {row.dataset for _, row in compared} == {"calibrated", "expert_suffix"}
    assert all(other.weight == pytest.approx(one.weight / 2) for one, other in compared)
