"""Choosing the turns to repair: over stored verdicts, without a policy or a world."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest

from configs.calibration import CalibrationConfig
from configs.schema import DeviationConfig
from rollouts.rows import of_type
from rollouts.stages.calibrate import calibrate
from rollouts.stages.choose import choose_repairs, chooses
from rollouts.stages.decide import AFTER_FIRST, BEYOND, decide
from rollouts.stages.explore import explore
from rollouts.stages.score import score
from steca.posterior import drop_probability, expected_gap
from steca.rewards import Tally
from storage.records import CalibrationRecord, DeviationRecord, Record, RepairChoiceRecord
from tests.rollouts.test_calibrate import Thinker
from tests.support.rollouts_toys import Toy, config, demonstrated, fragile, world

TASKS = 10


@cache
def records(
    preset: str = "paper", mode: str = "curtailed", candidates: int | None = None
) -> tuple[Record, ...]:
    settings = config(
        environment={"step_cap": 14},
        rewards={"mode": mode, "rollouts": 4, "candidates": candidates, "evidence": "always"},
        deviation={"preset": preset},
    )
    rows: list[Record] = [*demonstrated(TASKS)]
    rows += explore(world(), Toy(fragile(0.5)), rows, settings)
    rows += score(world(), Toy(fragile(0.5)), rows, settings)
    return (*rows, *decide(rows, settings.deviation, settings.rewards))


def verdicts(**how: Any) -> list[DeviationRecord]:
    return of_type(records(**how), DeviationRecord)


def rows_of(
    rows: Sequence[Record], preset: str = "paper", seed: int = 0, **calibration: Any
) -> list[RepairChoiceRecord]:
    return choose_repairs(rows, DeviationConfig(preset=preset), CalibrationConfig(**calibration), seed)  # type: ignore[arg-type]


def chosen(rows: Sequence[RepairChoiceRecord]) -> set[str]:
    return {row.deviation_id for row in rows if row.chosen}


def selected(rows: Sequence[DeviationRecord]) -> set[str]:
    return {row.deviation_id for row in rows if row.selected}


def test_by_default_nothing_is_chosen() -> None:
    assert not chooses(CalibrationConfig())
    assert chooses(CalibrationConfig(choose="random"))
    assert chooses(CalibrationConfig(repairs=3))


def test_as_many_at_random_as_the_rule_selects_and_the_seed_draws_them() -> None:
    rows = verdicts()
    draws = [rows_of(rows, choose="random", seed=seed) for seed in (0, 0, 1, 2)]
    assert draws[0] == draws[1]
    assert len({frozenset(chosen(draw)) for draw in draws}) == 3
    for draw in draws:
        assert len(chosen(draw)) == len(selected(rows)) > 2
        assert chosen(draw) != selected(rows)
        assert [row.rank for row in draw] == [*range(1, len(draw) + 1)]


def test_the_order_of_the_rows_and_the_verdicts_do_not_matter_to_the_draw() -> None:
    rows = verdicts()
    assert rows_of(rows[::-1], choose="random") == rows_of(rows, choose="random")
    flipped = [row.model_copy(update={"selected": not row.selected}) for row in rows]
    some = rows_of(flipped, choose="random", repairs=4)
    assert chosen(some) == chosen(rows_of(rows, choose="random", repairs=4))


def test_a_rule_for_first_deviations_repairs_one_turn_a_task() -> None:
    rows = {row.deviation_id: row for row in verdicts()}
    for how in ("random", "gap", "verdict"):
        drawn = [rows[name] for name in chosen(rows_of([*rows.values()], choose=how))]
        assert set(Counter(row.task_id for row in drawn).values()) == {1}
    every = {row.deviation_id: row for row in verdicts(preset="every_failure")}
    drawn = [
        every[name]
        for name in chosen(rows_of([*every.values()], "every_failure", choose="random", repairs=9))
    ]
    assert max(Counter(row.task_id for row in drawn).values()) > 1


def test_turns_after_the_first_deviation_and_without_rollouts_may_be_drawn() -> None:
    rows = {row.deviation_id: row for row in verdicts()}
    drawn = [
        rows[name]
        for seed in range(20)
        for name in chosen(rows_of([*rows.values()], choose="random", seed=seed))
    ]
    assert any(row.rule == AFTER_FIRST for row in drawn)
    assert any(row.gap is None for row in drawn)
    filtered = {"run succeeded", "step too early", "equal action"}
    assert not {row.rule for row in drawn} & filtered
    assert {row.rule for row in rows.values()} & filtered, "else nothing was filtered"


def test_turns_beyond_rewards_candidates_are_no_candidates() -> None:
    rows = {row.deviation_id: row for row in verdicts(candidates=1)}
    pool = {row.deviation_id for row in rows_of([*rows.values()], choose="random")}
    assert {row.rule for row in rows.values()} >= {BEYOND}
    assert BEYOND not in {rows[name].rule for name in pool}


def test_the_largest_expected_drops() -> None:
    rows = {row.deviation_id: row for row in verdicts(mode="fixed", preset="every_failure")}
    made = rows_of([*rows.values()], "every_failure", choose="gap", repairs=5)
    assert len(chosen(made)) == 5
    for choice in made:
        row = rows[choice.deviation_id]
        sides = (
            Tally.stored(row.reference_reward, row.reference_n),
            Tally.stored(row.explored_reward, row.explored_n),
        )
        assert choice.expected_gap == expected_gap(*sides)
        assert choice.drop_probability == drop_probability(*sides)
    gaps = [row.expected_gap for row in made]
    assert gaps == sorted(gaps, key=lambda gap: gap or 0.0)
    assert {row.rank for row in made if row.chosen} == {1, 2, 3, 4, 5}


def test_of_the_rules_deviations_the_largest_drops() -> None:
    rows = {row.deviation_id: row for row in verdicts(mode="fixed")}
    made = rows_of([*rows.values()], repairs=2)
    assert {row.deviation_id for row in made} == selected([*rows.values()])
    assert len(chosen(made)) == 2
    best = sorted(row.expected_gap or 0.0 for row in made)[:2]
    assert sorted(row.expected_gap or 0.0 for row in made if row.chosen) == best
    assert chosen(rows_of([*rows.values()], repairs=999)) == selected([*rows.values()])


@pytest.mark.parametrize("how", ["random", "gap"])
def test_only_the_chosen_turns_are_repaired(how: str) -> None:
    rows = records(mode="fixed")
    wanted = chosen(rows_of(rows, choose=how, repairs=3))
    made = of_type(calibrate(world(), Thinker(), rows, config(), chosen=wanted), CalibrationRecord)
    assert {row.deviation_id for row in made} == wanted
    usual = of_type(calibrate(world(), Thinker(), rows, config()), CalibrationRecord)
    assert {row.deviation_id for row in usual} == selected(of_type(rows, DeviationRecord))
