"""How fast the store ingests rows, and how fast its views answer.

    python benchmarks/store.py [--steps 1000000] [--batches 200]

Writes synthetic shards of that many steps to a temporary folder (with matching trajectories, rollouts, comparisons,
repairs and test episodes), ingests them, and queries every view. One process; a minute or two.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from steca.evidence import gap_interval
from steca.rewards import Tally
from storage.records import (
    CalibrationRecord,
    DeviationRecord,
    EvaluationRecord,
    Record,
    RolloutRecord,
    ScoredTurnRecord,
    StepRecord,
    TaskRecord,
    TrainingExampleRecord,
    TrajectoryRecord,
)
from storage.runs import RunFolder, StageState
from storage.shards import BatchRef, ShardStore
from storage.store import Store

STEPS_EACH = 10
STAGE_KEY = "explore-0123456789abcdef"
QUERIES = {
    "step_rewards": "SELECT trajectory_kind, count(*), avg(reward), avg(low), sum(len(seeds)) "
    "FROM step_rewards GROUP BY ALL",
    "step_rewards of one turn": "FROM step_rewards WHERE step_reward_id = 'expert0000000000000007'",
    "step_reward_gaps": "SELECT verdict, avg(gap), avg(gap_high) FROM step_reward_gaps GROUP BY ALL",
    "scored_steps": "SELECT trajectory_kind, steps_left, avg(reward), sum(ends['step_cap']) "
    "FROM scored_steps GROUP BY ALL",
    "scored_steps of one run": "SELECT avg(reward), count(next_action) FROM scored_steps WHERE run_id = 'benchmark-0'",
    "success": "FROM success",
    "success_change": "FROM success_change",
    "success_change_by_task_type": "FROM success_change_by_task_type",
    "success_by_task_type": "FROM success_by_task_type",
    "calibration_outcomes": "FROM calibration_outcomes",
    "recovery_after_invalid": "FROM recovery_after_invalid",
    "run_summary": "FROM run_summary",
    "stage_costs": "FROM stage_costs",
    "runs": "FROM runs",
    "compared_turns": "SELECT side, avg(reward) FROM compared_turns GROUP BY ALL",
    "help": "FROM help",
    "what_if, release": "SELECT new_verdict, new_rule, count(*), count_if(new_selected) "
    "FROM what_if('benchmark-0', preset := 'release', delta := 0.1) GROUP BY ALL",
    "what_if, sequential": "SELECT new_verdict, new_rule, count(*), count_if(new_selected) "
    "FROM what_if('benchmark-0', preset := 'sequential', delta := -0.1) GROUP BY ALL",
    "lineage of one example": "FROM lineage('s0000000000000007')",
    "run_steps": "SELECT count(*), avg(tokens) FROM run_steps WHERE run_id = 'benchmark-0'",
    "of_run('steps')": "SELECT count(*), avg(tokens) FROM of_run('steps', 'benchmark-0')",
}


def episode(index: int) -> Iterator[Record]:
    """One trajectory of STEPS_EACH steps, and its related rows."""
    name, won = f"{index:016x}", index % 3 == 0
    yield TaskRecord(
        task_id=f"k{name}",
        world="benchmark",
        split="train",
        task_type=f"type {index % 6}",
        instruction="put the cup in the sink",
        payload="{}",
    )
    yield TrajectoryRecord(
        trajectory_id=f"t{name}",
        task_id=f"k{name}",
        kind="explored",
        prefix_steps=0,
        first_observation="You are in the middle of a room. Looking around you, you see a shelf 1 and a sink 1.",
        n_steps=STEPS_EACH,
        outcome=float(won),
        success=won,
        end_reason="done" if won else "step_cap",
        invalid_actions=index % 2,
    )
    for step in range(STEPS_EACH):
        yield StepRecord(
            trajectory_id=f"t{name}",
            step_index=step,
            origin="policy",
            text=f"Thought: I should look at shelf {index % 97}.\nAction: go to shelf {index % 97}",
            thought=f"I should look at shelf {index % 97}.",
            action=f"go to shelf {index % 97}",
            observation=f"On the shelf {index % 97}, you see a cup {step}.",
            valid=True,
            tokens=20,
        )
    yield from evidence(name, index)
    yield from judgements(name, index, won)


def evidence(name: str, index: int) -> Iterator[Record]:
    """Two scored turns with five rollouts each."""
    for side, step, successes in (("expert", 1, 2), ("explored", 2, index % 6)):
        yield ScoredTurnRecord(
            step_reward_id=f"{side}{name}",
            trajectory_id=f"t{name}",
            step_index=step,
            task_id=f"k{name}",
            side=side,
            checkpoint="c0",
        )
        for sample in range(5):
            yield RolloutRecord(
                rollout_id=f"{side}{name}-{sample}",
                step_reward_id=f"{side}{name}",
                sample_index=sample,
                checkpoint="c0",
                seed=index * 5 + sample,
                temperature=1.0,
                top_p=1.0,
                outcome=float(sample < successes),
                n_steps=3,
                tokens=60,
                end_reason="step_cap",
                actions=["look", f"go to shelf {sample}", "look"],
            )


def judgements(name: str, index: int, won: bool) -> Iterator[Record]:
    """A comparison, and the rows that follow from it."""
    yield comparison(name, index)
    yield from consequences(name, index, won)


def comparison(name: str, index: int) -> DeviationRecord:
    """An explored turn and the expert's, with their step rewards and the verdict."""
    low, high = gap_interval(Tally(5, 2), Tally(5, index % 6), 0.05)
    fell = index % 6 < 2
    return DeviationRecord(
        deviation_id=f"d{name}",
        task_id=f"k{name}",
        expert_trajectory_id=f"t{name}",
        explored_trajectory_id=f"t{name}",
        step_index=2,
        expert_action="look",
        explored_action="go to shelf 1",
        explored_success=False,
        similarity=0.5,
        continues=True,
        reference_step_reward_id=f"expert{name}",
        explored_step_reward_id=f"explored{name}",
        reference_reward=0.4,
        expert_reward=0.4,
        explored_reward=index % 6 / 5,
        reference_n=5,
        expert_n=5,
        explored_n=5,
        gap=index % 6 / 5 - 0.4,
        gap_low=low,
        gap_high=high,
        error_rate=0.05,
        delta=0.0,
        preset="paper",
        outcome="success",
        verdict="deviated" if fell else "not_deviated",
        rule="gap < delta" if fell else "not gap < delta",
        selected=fell,
    )


def consequences(name: str, index: int, won: bool) -> Iterator[Record]:
    """A repair, its training example and a test episode."""
    yield CalibrationRecord(
        calibration_id=f"a{name}",
        deviation_id=f"d{name}",
        task_id=f"k{name}",
        trajectory_id=f"t{name}",
        reflector="template",
        reflection="That was the wrong shelf.",
        required_action="look",
        plan="expert_suffix",
        kept=won,
        rejection=None if won else "repair_failed",
        rejection_detail=None if won else "its turns ran out before the goal",
    )
    yield TrainingExampleRecord(
        example_id=f"s{name}",
        dataset="calibrated",
        task_id=f"k{name}",
        trajectory_id=f"t{name}",
        target_from=2,
        weight=1.0,
        calibration_id=f"a{name}",
        deviation_id=f"d{name}",
    )
    yield EvaluationRecord(
        evaluation_id=f"e{name}",
        checkpoint="c0",
        role="warmup",
        split="seen",
        start="task",
        task_id=f"k{name}",
        task_type=f"type {index % 6}",
        trajectory_id=f"t{name}",
        success=won,
        n_steps=STEPS_EACH,
        invalid_actions=index % 2,
    )


def write(root: Path, steps: int, batches: int) -> list[BatchRef]:
    """Shards of `steps` steps in `batches` batches, and the run that they belong to."""
    shards, episodes = ShardStore(root), steps // STEPS_EACH
    refs = []
    for batch in track(range(batches), description="writing shards"):
        records = [record for index in range(batch, episodes, batches) for record in episode(index)]
        refs.append(shards.write_batch(STAGE_KEY, f"batch-{batch:05d}", records))
    run = RunFolder(root, "benchmark-0")
    run.create("benchmark", {"steps": steps})
    now = datetime.now(UTC)
    run.save_stage(
        StageState(
            stage="explore",
            round=1,
            stage_key=STAGE_KEY,
            status="completed",
            started_at=now,
            batches=tuple(refs),
        )
    )
    return refs


def measure(root: Path, steps: int, batches: int) -> Table:
    """The table of results. On a shared machine, CPU seconds are more reliable than wall time."""
    table = Table("what", "rows", "seconds", "CPU seconds", "rows/s")

    @contextmanager
    def timed(what: str) -> Iterator[list[int]]:
        rows, wall, cpu = [0], time.perf_counter(), time.process_time()
        yield rows
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        table.add_row(what, f"{rows[0]:,}", f"{wall:.3f}", f"{cpu:.3f}", f"{rows[0] / wall:,.0f}")

    store = Store(root)
    with timed("records made and written as shards") as rows:
        total = rows[0] = sum(sum(ref.rows.values()) for ref in write(root, steps, batches))
    with timed("first ingest, published") as rows:
        rows[0] = sum(store.ingest().rows.values())
    ShardStore(root).write_batch("again-0", "batch-0", list(episode(0)))
    with timed("ingest of one more small batch, published"):
        store.ingest()
    for name, sql in QUERIES.items():
        with timed(name) as rows:
            store.query(sql)
            rows[0] = total
    table.caption = f"published file {store.published.stat().st_size / 1e6:,.0f} MB"
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--batches", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Console().print(measure(Path(folder), options.steps, options.batches))


if __name__ == "__main__":
    main()
