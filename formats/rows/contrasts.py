"""Training examples with what they are contrasted with: the other run's turns after the same history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from formats.rows.conversation import ExampleRow
from formats.rows.examples import Examples
from formats.rows.merge import STEP, with_parts


@dataclass(frozen=True, slots=True)
class ContrastRow(ExampleRow):
    """`contrast`: the messages of the contrast from the first target on, from its first turn to its last; empty where
    there is none, or none after the same history."""

    contrast: tuple[dict[str, str], ...] = ()


class Contrasts(Examples):
    """All training examples, with their contrasts."""

    def between(self, low: str, high: str) -> Iterator[ExampleRow]:
        wanted, params = self.wanted(low, high)
        steps = self.run.stream(
            f"""{wanted} SELECT w.example_id, {STEP} FROM wanted w
                JOIN steps s ON s.trajectory_id = w.contrast_trajectory_id AND s.step_index >= w.target_from
                ORDER BY w.example_id, s.step_index""",
            params,
        )
        heads = ({"example_id": row.id, "row": row} for row in super().between(low, high))
        for head, parts in with_parts(heads, steps, "example_id", required=False):
            row: ExampleRow = head["row"]
            yield ContrastRow(row.id, row.messages, row.weight, row.about, tuple(_said(parts)))


def _said(steps: list[dict[str, Any]]) -> Iterator[dict[str, str]]:
    for place, step in enumerate(steps):
        if place:
            yield {"role": "user", "content": steps[place - 1]["observation"]}
        yield {"role": "assistant", "content": step["text"]}
