"""Stage calibrate, before the repairs: which turns of a round to repair (`steca.choice`), over all its tasks.

Only where `calibration.choose` or `calibration.repairs` is set. Else the deviations that the rule selects are repaired,
task by task.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from configs.calibration import CalibrationConfig
from configs.schema import DeviationConfig
from rollouts.rows import of_type, sides_of
from rollouts.stages.decide import BEYOND, rule_of
from steca.choice import Repairable, chosen, in_order
from steca.deviation import Candidate, Rule, prefilter
from steca.posterior import drop_probability, expected_gap, expected_value
from storage.ids import content_id
from storage.records import DeviationRecord, Record, RepairChoiceRecord


def chooses(calibration: CalibrationConfig) -> bool:
    """Whether the configuration chooses among the turns, instead of repairing all that the rule selects."""
    return calibration.choose != "verdict" or calibration.repairs is not None


def choose_repairs(
    records: Sequence[Record], deviation: DeviationConfig, calibration: CalibrationConfig, seed: int
) -> list[RepairChoiceRecord]:
    """A row for every turn that could be chosen, best first. `records`: the verdicts on all tasks of the round.

    As many turns are chosen as the rule selects, or `calibration.repairs`. Where the rule takes only the first
    deviation of a task, at most one turn of a task is chosen.
    """
    rule = rule_of(deviation)
    rows = {
        row.deviation_id: row for row in of_type(records, DeviationRecord) if could_be_compared(row, rule)
    }
    turns = [_repairable(row, seed) for row in rows.values()]
    wanted = calibration.repairs or sum(turn.selected for turn in turns)
    ordered = in_order(turns, calibration.choose)
    taken = {turn.id for turn in chosen(ordered, wanted, rule.first_only)}
    return [
        _row(rows[turn.id], turn, calibration, rank, turn.id in taken)
        for rank, turn in enumerate(ordered, start=1)
    ]


def could_be_compared(row: DeviationRecord, rule: Rule) -> bool:
    """Whether the turn passes the rule's filters and lies within `rewards.candidates`, with rollouts or without."""
    candidate = Candidate(
        task_id=row.task_id,
        step=row.step_index,
        expert_action=row.expert_action,
        explored_action=row.explored_action,
        explored_success=bool(row.explored_success),
        similarity=row.similarity or 0.0,
        continues=bool(row.continues),
    )
    return prefilter(candidate, rule) is None and row.rule != BEYOND


def _repairable(row: DeviationRecord, seed: int) -> Repairable:
    reference, explored = sides_of(row)
    scored = not (reference.empty or explored.empty)
    return Repairable(
        id=row.deviation_id,
        task_id=row.task_id,
        selected=row.selected,
        expected_gap=expected_gap(reference, explored) if scored else None,
        expected_value=None if reference.empty else expected_value(reference),
        lot=content_id("repair", seed, row.explored_trajectory_id, row.step_index),  # whatever the verdict
    )


def _row(
    row: DeviationRecord, turn: Repairable, calibration: CalibrationConfig, rank: int, taken: bool
) -> RepairChoiceRecord:
    scored = turn.expected_gap is not None
    fields: dict[str, Any] = {
        "deviation_id": turn.id,
        "task_id": turn.task_id,
        "choose": calibration.choose,
        "rank": rank,
        "chosen": taken,
        "expected_gap": turn.expected_gap,
        "drop_probability": drop_probability(*sides_of(row), row.delta) if scored else None,
    }
    return RepairChoiceRecord(choice_id=content_id("repair choice", fields), **fields)
