"""Trajectories of a run, each once, with what is known of their turns: step rewards, verdicts and repairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from formats.rows.conversation import Messages, characters, whole_conversation
from formats.rows.merge import STEP, trajectory, with_parts
from formats.rows.source import TASK, Source
from rollouts.stages.assemble import training_example
from steca.vocabulary import TrajectoryKind


@dataclass(frozen=True, slots=True)
class TraceRow:
    """An executed trajectory, to its end. A message is a target if its turn is the trajectory's own: turns that were
    replayed from another one, the deviated turn of a repair among them, are copies. `turns`: for each turn, its step
    reward, verdict and what else is known."""

    id: str
    messages: Messages
    last_observation: str
    turns: tuple[Mapping[str, Any], ...]
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def characters(self) -> int:
        return characters(self.messages) + len(self.last_observation)

    @property
    def mask(self) -> list[bool]:
        return [message.target for message in self.messages]


# A run may value or judge a turn more than once: the row of the last round counts, and of several the least id.
VALUES = """
    SELECT DISTINCT ON (trajectory_id, step_index)
        trajectory_id, step_index, reward, n AS rollouts, low AS reward_low, high AS reward_high
    FROM run_step_rewards WHERE run_id = $run AND trajectory_id IN (SELECT trajectory_id FROM wanted)
    ORDER BY trajectory_id, step_index, round DESC, step_reward_id"""
VERDICTS = """
    SELECT DISTINCT ON (explored_trajectory_id, step_index)
        explored_trajectory_id AS trajectory_id, step_index, deviation_id, verdict, rule, gap
    FROM run_deviations WHERE run_id = $run AND explored_trajectory_id IN (SELECT trajectory_id FROM wanted)
    ORDER BY explored_trajectory_id, step_index, round DESC, deviation_id"""
REPAIRS = """
    SELECT DISTINCT ON (trajectory_id) trajectory_id, calibration_id, deviation_id, reflector
    FROM run_calibrations WHERE run_id = $run ORDER BY trajectory_id, round DESC, calibration_id"""


class Traces(Source[TraceRow]):
    """Rows of trajectories, test episodes among them: traces are looked at, not trained on."""

    name: ClassVar[str] = "trajectories"
    key: ClassVar[str] = "trajectory_id"
    of_set: ClassVar[str] = "kind"
    sets: ClassVar[tuple[str, ...]] = TrajectoryKind.__args__  # type: ignore[attr-defined]
    trains: ClassVar[bool] = False
    how_to_get: ClassVar[str] = "the stage demonstrate plays the first"
    lineage: ClassVar[tuple[str, ...]] = (
        "trajectory_id", "kind", "round", "task_id", "split", "task_type", "checkpoint", "prefix_steps",
        "outcome", "success", "end_reason", "calibration_id", "deviation_id",
    )  # fmt: skip

    @property
    def candidates(self) -> str:
        payload = ", k.payload" if self.run.briefs else ""
        return f"""
            SELECT t.*, {TASK}{payload}, c.calibration_id, c.deviation_id, c.reflector, false AS held_out
            FROM (
                SELECT trajectory_id, min(round) AS round,
                    any_value(COLUMNS(* EXCLUDE (run_id, round, trajectory_id, provenance)))
                FROM run_trajectories WHERE run_id = $run GROUP BY trajectory_id
            ) t
            JOIN tasks k USING (task_id)
            LEFT JOIN ({REPAIRS}) c USING (trajectory_id)"""

    def between(self, low: str, high: str) -> Iterator[TraceRow]:
        wanted, params = self.wanted(low, high)
        heads = self.run.stream(f"{wanted} FROM wanted ORDER BY trajectory_id", params)
        steps = self.run.stream(
            f"""{wanted}, valued AS ({VALUES}), judged AS ({VERDICTS})
                SELECT w.trajectory_id, {STEP}, s.tokens, s.thinking, v.* EXCLUDE (trajectory_id, step_index),
                    j.* EXCLUDE (trajectory_id, step_index)
                FROM wanted w JOIN steps s USING (trajectory_id)
                LEFT JOIN valued v ON v.trajectory_id = w.trajectory_id AND v.step_index = s.step_index
                LEFT JOIN judged j ON j.trajectory_id = w.trajectory_id AND j.step_index = s.step_index
                ORDER BY w.trajectory_id, s.step_index""",
            params,
        )
        for head, parts in with_parts(heads, steps, "trajectory_id", required=False):
            yield self._row(head, parts)  # an episode may end before its first turn

    def _row(self, head: dict[str, Any], steps: list[dict[str, Any]]) -> TraceRow:
        run = trajectory(head, head["first_observation"], steps, head["n_steps"])
        copied, briefing = copied_steps(head["prefix_steps"], steps), self.run.briefing(head)
        example = training_example(head["trajectory_id"], run, copied, 1.0, briefing)
        known = ("reward", "rollouts", "reward_low", "reward_high", "deviation_id", "verdict", "rule", "gap")
        turns = tuple({name: step[name] for name in (*known, "tokens", "thinking")} for step in steps)
        last = run.steps[-1].observation if run.steps else ""
        return TraceRow(head["trajectory_id"], whole_conversation(example, run), last, turns, head)


def copied_steps(prefix: int, steps: list[dict[str, Any]]) -> int:
    """How many leading turns were replayed: those of the prefix, and a deviated turn that was put there."""
    deviated = [step["step_index"] + 1 for step in steps if step["origin"] == "deviation"]
    return max([prefix, *deviated])
