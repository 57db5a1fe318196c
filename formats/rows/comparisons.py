"""Comparisons of an explored turn with the expert's, each once, with the evidence of its verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from formats.rows.conversation import Messages, as_messages, characters
from formats.rows.merge import STEP, trajectory, with_parts
from formats.rows.source import HELD_OUT, TASK, Source
from rollouts.stages.assemble import training_example
from steca.vocabulary import Decision

SIDES = ("reference", "expert", "explored")


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One comparison. `messages`: the history and the explored turn that was compared, its last message."""

    id: str
    messages: Messages
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def characters(self) -> int:
        return characters(self.messages)


def _side(side: str) -> str:
    """Sum of the outcomes and the 95 % Wilson interval of one side's mean; NULL where no rollout was made."""
    k, n = f"d.{side}_reward * d.{side}_n", f"d.{side}_n"
    return f"""{k} AS {side}_wins, CASE WHEN {n} > 0 THEN wilson_low({k}, {n}) END AS {side}_low,
        CASE WHEN {n} > 0 THEN wilson_high({k}, {n}) END AS {side}_high"""


class Comparisons(Source[ComparisonRow]):
    """Rows of deviations, whatever their verdict."""

    name: ClassVar[str] = "comparisons"
    key: ClassVar[str] = "deviation_id"
    of_set: ClassVar[str] = "verdict"
    sets: ClassVar[tuple[str, ...]] = Decision.__args__  # type: ignore[attr-defined]
    how_to_get: ClassVar[str] = "the stage rewards makes them"
    lineage: ClassVar[tuple[str, ...]] = (
        "deviation_id", "round", "task_id", "split", "task_type", "explored_trajectory_id", "expert_trajectory_id",
        "step_index", "verdict", "rule",
    )  # fmt: skip

    @property
    def candidates(self) -> str:
        payload = ", k.payload" if self.run.briefs else ""
        return f"""
            SELECT d.*, {", ".join(map(_side, SIDES))}, {TASK}{payload}, t.first_observation, t.n_steps,
                t.checkpoint, {HELD_OUT} AS held_out
            FROM (
                SELECT deviation_id, min(round) AS round,
                    any_value(COLUMNS(* EXCLUDE (run_id, round, deviation_id, provenance)))
                FROM run_deviations WHERE run_id = $run GROUP BY deviation_id
            ) d
            JOIN tasks k USING (task_id) JOIN trajectories t ON t.trajectory_id = d.explored_trajectory_id"""

    def between(self, low: str, high: str) -> Iterator[ComparisonRow]:
        wanted, params = self.wanted(low, high)
        heads = self.run.stream(f"{wanted} FROM wanted ORDER BY deviation_id", params)
        steps = self.run.stream(
            f"""{wanted} SELECT w.deviation_id, {STEP} FROM wanted w
                JOIN steps s ON s.trajectory_id = w.explored_trajectory_id AND s.step_index <= w.step_index
                ORDER BY w.deviation_id, s.step_index""",
            params,
        )
        for head, parts in with_parts(heads, steps, "deviation_id"):
            run = trajectory(head, head["first_observation"], parts, head["step_index"] + 1)
            briefing = self.run.briefing(head)
            example = training_example(head["deviation_id"], run, head["step_index"], 1.0, briefing)
            yield ComparisonRow(head["deviation_id"], as_messages(example, run), head)
