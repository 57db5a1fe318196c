"""Preference pairs of a run; where it has none, those that its kept repairs give."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, ClassVar

from formats.rows.conversation import Messages, PairRow, as_messages
from formats.rows.merge import STEP, trajectory, with_parts
from formats.rows.source import HELD_OUT, TASK, Source
from rollouts.stages.pairs import pair_side
from storage.faults import StorageFault

OWN = """
    SELECT pair_id, any_value(kind) AS kind, any_value(method) AS method, min(round) AS round,
        any_value(task_id) AS task_id, any_value(deviation_id) AS deviation_id, NULL::VARCHAR AS calibration_id,
        any_value(chosen_trajectory_id) AS chosen_trajectory_id, any_value(chosen_from) AS chosen_from,
        any_value(chosen_to) AS chosen_to, any_value(chosen_rollout_id) AS chosen_rollout_id,
        any_value(rejected_trajectory_id) AS rejected_trajectory_id, any_value(rejected_from) AS rejected_from,
        any_value(rejected_to) AS rejected_to, any_value(margin) AS margin
    FROM run_preference_pairs WHERE run_id = $run GROUP BY pair_id"""
REPAIRS = """
    SELECT c.calibration_id AS pair_id, 'calibrated' AS kind, 'repair' AS method, min(c.round) AS round,
        any_value(c.task_id) AS task_id, any_value(c.deviation_id) AS deviation_id, c.calibration_id,
        any_value(c.trajectory_id) AS chosen_trajectory_id, any_value(d.step_index) + 1 AS chosen_from,
        any_value(y.n_steps) AS chosen_to, NULL::VARCHAR AS chosen_rollout_id,
        any_value(d.explored_trajectory_id) AS rejected_trajectory_id,
        any_value(d.step_index) + 1 AS rejected_from, any_value(x.n_steps) AS rejected_to, NULL::DOUBLE AS margin
    FROM run_calibrations c JOIN deviations d USING (deviation_id)
    JOIN trajectories y ON y.trajectory_id = c.trajectory_id
    JOIN trajectories x ON x.trajectory_id = d.explored_trajectory_id
    WHERE c.run_id = $run AND c.kept AND x.n_steps > d.step_index + 1 GROUP BY c.calibration_id"""


class Pairs(Source[PairRow]):
    """Rows of preference_pairs, or for each kept repair: after the deviated turn and its observation, the reflection
    and the repair are preferred to what the agent did. A deviated turn that was the agent's last gives no pair."""

    name: ClassVar[str] = "preference pairs"
    key: ClassVar[str] = "pair_id"
    of_set: ClassVar[str] = "kind"
    sets: ClassVar[tuple[str, ...]] = ("outcome", "step", "calibrated")
    how_to_get: ClassVar[str] = "a training on preferences makes them, or kept repairs (stage calibrate)"
    lineage: ClassVar[tuple[str, ...]] = (
        "pair_id", "kind", "method", "round", "task_id", "split", "task_type", "chosen_trajectory_id",
        "chosen_from", "chosen_to", "chosen_rollout_id", "rejected_trajectory_id", "rejected_from",
        "rejected_to", "calibration_id", "deviation_id", "verdict", "rule",
    )  # fmt: skip

    @cached_property
    def from_repairs(self) -> bool:
        """Whether the run has no pairs of its own."""
        return not self.run.rows(
            "SELECT 1 FROM run_preference_pairs WHERE run_id = $run LIMIT 1", run=self.run.run_id
        )

    @property
    def candidates(self) -> str:
        payload = ", k.payload" if self.run.briefs else ""
        return f"""
            SELECT p.*, {TASK}{payload}, t.first_observation, r.first_turn AS chosen_turn, d.verdict, d.rule, d.gap,
                {HELD_OUT} AS held_out
            FROM ({REPAIRS if self.from_repairs else OWN}) p
            JOIN tasks k USING (task_id) JOIN trajectories t ON t.trajectory_id = p.chosen_trajectory_id
            LEFT JOIN rollouts r ON r.rollout_id = p.chosen_rollout_id
            LEFT JOIN deviations d ON d.deviation_id = p.deviation_id"""

    def between(self, low: str, high: str) -> Iterator[PairRow]:
        wanted, params = self.wanted(low, high)
        heads = self.run.stream(f"{wanted} FROM wanted ORDER BY pair_id", params)
        sides = " UNION ALL ".join(
            f"""SELECT w.pair_id, {place} AS side, {STEP} FROM wanted w
                JOIN steps s ON s.trajectory_id = w.{side}_trajectory_id AND s.step_index < w.{side}_to"""
            for place, side in enumerate(("chosen", "rejected"))
        )
        steps = self.run.stream(f"{wanted} FROM ({sides}) ORDER BY pair_id, side, step_index", params)
        for head, parts in with_parts(heads, steps, "pair_id"):
            yield self._row(head, parts)

    def _row(self, head: dict[str, Any], steps: list[dict[str, Any]]) -> PairRow:
        chosen, rejected = (
            self._side(head, steps, place, side) for place, side in enumerate(("chosen", "rejected"))
        )
        start = 1 + 2 * head["chosen_from"]
        prompt = chosen[:start]
        if [m.chat for m in rejected[: 1 + 2 * head["rejected_from"]]] != [m.chat for m in prompt]:
            raise StorageFault(
                f"pair {head['pair_id']}: its sides do not follow the same history: `steca trace {head['pair_id']}` "
                "shows them"
            )
        return PairRow(head["pair_id"], prompt, chosen[start:], rejected[start:], head)

    def _side(self, head: dict[str, Any], steps: list[dict[str, Any]], place: int, side: str) -> Messages:
        own, end = [step for step in steps if step["side"] == place], head[f"{side}_to"]
        run = trajectory(head, head["first_observation"], own, end)
        turn = head["chosen_turn"] if side == "chosen" else None
        start, briefing = head[f"{side}_from"], self.run.briefing(head)
        return as_messages(
            pair_side(head[f"{side}_trajectory_id"], run, start, end, briefing, turn=turn), run
        )
