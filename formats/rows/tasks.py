"""The training tasks of a run, each once, with the message that starts them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from formats.rows.source import HELD_OUT, Source
from models.prompts import messages


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One task. `start`: what the agent is told first, prompt included."""

    id: str
    start: str
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def characters(self) -> int:
        return len(self.start)


class Tasks(Source[TaskRow]):
    """Rows of tasks of which the run has an episode."""

    name: ClassVar[str] = "tasks"
    key: ClassVar[str] = "task_id"
    of_set: ClassVar[str] = "task_type"
    sets: ClassVar[tuple[str, ...]] = ()
    how_to_get: ClassVar[str] = "the stage demonstrate plays them"
    lineage: ClassVar[tuple[str, ...]] = ("task_id", "split", "task_type", "world")

    @property
    def candidates(self) -> str:
        return f"""
            SELECT k.task_id, k.world, k.split, k.task_type, k.instruction, k.payload, t.first_observation,
                t.expert_steps, {HELD_OUT} AS held_out
            FROM (
                SELECT task_id, arg_min(first_observation, trajectory_id) AS first_observation,
                    min(n_steps) FILTER (kind = 'expert' AND success) AS expert_steps
                FROM run_trajectories WHERE run_id = $run GROUP BY task_id
            ) t JOIN tasks k USING (task_id)"""

    def between(self, low: str, high: str) -> Iterator[TaskRow]:
        wanted, params = self.wanted(low, high)
        for head in self.run.stream(f"{wanted} FROM wanted ORDER BY task_id", params):
            [start] = messages(head["first_observation"], (), self.run.briefing(head))
            yield TaskRow(head["task_id"], start["content"], head)
