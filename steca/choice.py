"""Which turns are repaired, where not simply those that the deviation rule selects.

    verdict   of the selected deviations, those with the largest expected drop
    gap       of all turns that could be compared, those with the largest expected drop
    value     of all turns that could be compared, those where the policy succeeds least even after the expert's turn
    random    of all turns that could be compared, as many drawn at random: the control of the others. It says what
              the comparison of step rewards is worth, because everything else stays the same

The expected drop is -E(mu_explored - mu_reference) under the posteriors of `steca.posterior`, and the expected value
E(mu_reference). A turn without rollouts on the sides that they are of has none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from steca.vocabulary import RepairChoice


@dataclass(frozen=True, slots=True)
class Repairable:
    """A turn that the rule could compare. `lot` is its place in a random order of all turns, as any sortable text.
    `expected_gap` is None without rollouts on both sides, `expected_value` without rollouts of the reference."""

    id: str
    task_id: str
    selected: bool
    expected_gap: float | None
    expected_value: float | None
    lot: str


def in_order(turns: Sequence[Repairable], choose: RepairChoice) -> list[Repairable]:
    """The turns that may be chosen, best first. Equal ones, and those without the figure, are in random order."""
    figure, eligible = _FIGURE[choose], _ELIGIBLE[choose]
    return sorted(filter(eligible, turns), key=lambda turn: (*_last_if_none(figure(turn)), turn.lot))


def chosen(ordered: Sequence[Repairable], wanted: int, one_a_task: bool) -> list[Repairable]:
    """The first `wanted` of the turns, fewer if there are no more. `one_a_task`: the first of each task only."""
    if one_a_task:
        first: dict[str, Repairable] = {}
        for turn in ordered:
            first.setdefault(turn.task_id, turn)
        ordered = list(first.values())
    return list(ordered[:wanted])


def _last_if_none(figure: float | None) -> tuple[bool, float]:
    return figure is None, figure or 0.0


_FIGURE: dict[RepairChoice, Callable[[Repairable], float | None]] = {
    "verdict": lambda turn: turn.expected_gap,
    "gap": lambda turn: turn.expected_gap,
    "value": lambda turn: turn.expected_value,
    "random": lambda turn: None,
}
"""What the turns are ordered by: smallest first."""

_ELIGIBLE: dict[RepairChoice, Callable[[Repairable], bool]] = {
    "verdict": lambda turn: turn.selected,
    "gap": lambda turn: turn.expected_gap is not None,
    "value": lambda turn: turn.expected_value is not None,
    "random": lambda turn: True,
}
