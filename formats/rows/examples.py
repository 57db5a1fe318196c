"""Training examples of a run, each once, as the factory trains on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from formats.rows.conversation import ExampleRow, as_messages
from formats.rows.merge import STEP, trajectory, with_parts
from formats.rows.source import HELD_OUT, TASK, Source
from rollouts.stages.assemble import training_example
from steca.vocabulary import DatasetName


class Examples(Source[ExampleRow]):
    """Rows of training_examples. Several rounds may hold the same one: `round` is the first."""

    name: ClassVar[str] = "training examples"
    key: ClassVar[str] = "example_id"
    of_set: ClassVar[str] = "dataset"
    sets: ClassVar[tuple[str, ...]] = DatasetName.__args__  # type: ignore[attr-defined]
    how_to_get: ClassVar[str] = "a training on examples makes them, in the stage train"
    lineage: ClassVar[tuple[str, ...]] = (
        "example_id", "dataset", "weight", "round", "task_id", "split", "task_type", "trajectory_id",
        "target_from", "calibration_id", "deviation_id", "contrast_trajectory_id", "verdict", "rule",
    )  # fmt: skip

    @property
    def candidates(self) -> str:
        payload = ", k.payload" if self.run.briefs else ""
        return f"""
            SELECT e.*, {TASK}{payload}, t.kind AS trajectory_kind, t.n_steps, t.outcome, t.success,
                t.first_observation, d.verdict, d.rule, d.gap, c.reflector, {HELD_OUT} AS held_out
            FROM (
                SELECT example_id, any_value(dataset) AS dataset, any_value(weight) AS weight, min(round) AS round,
                    any_value(distance) AS distance, any_value(target_from) AS target_from,
                    any_value(task_id) AS task_id, any_value(trajectory_id) AS trajectory_id,
                    any_value(calibration_id) AS calibration_id, any_value(deviation_id) AS deviation_id,
                    any_value(contrast_trajectory_id) AS contrast_trajectory_id
                FROM run_training_examples WHERE run_id = $run GROUP BY example_id
            ) e
            JOIN tasks k USING (task_id) JOIN trajectories t USING (trajectory_id)
            LEFT JOIN deviations d ON d.deviation_id = e.deviation_id
            LEFT JOIN calibrations c ON c.calibration_id = e.calibration_id"""

    def with_context_turns(self) -> list[tuple[str, int]]:
        """(set, how many of its wanted examples have turns of the agent before the first target)."""
        wanted, params = self.wanted()
        sql = f"{wanted} SELECT dataset, count(*) FROM wanted WHERE target_from > 0 GROUP BY ALL ORDER BY ALL"
        return [(dataset, n) for dataset, n in self.run.rows(sql, **params)]

    def between(self, low: str, high: str) -> Iterator[ExampleRow]:
        wanted, params = self.wanted(low, high)
        heads = self.run.stream(f"{wanted} FROM wanted ORDER BY example_id", params)
        steps = self.run.stream(
            f"""{wanted} SELECT w.example_id, {STEP} FROM wanted w JOIN steps s USING (trajectory_id)
                ORDER BY w.example_id, s.step_index""",
            params,
        )
        for head, parts in with_parts(heads, steps, "example_id"):
            yield self._row(head, parts)

    def _row(self, head: dict[str, Any], steps: list[dict[str, Any]]) -> ExampleRow:
        run = trajectory(head, head["first_observation"], steps, head["n_steps"])
        briefing = self.run.briefing(head)
        example = training_example(head["trajectory_id"], run, head["target_from"], head["weight"], briefing)
        return ExampleRow(head["example_id"], as_messages(example, run), head["weight"], head)
