"""What the rollouts say of turns: verdicts as Parquet, and labels of steps as JSON Lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from formats.audit import Audit
from formats.rows.comparisons import SIDES, ComparisonRow, Comparisons
from formats.targets.target import Target, Weight

NO_WEIGHT = Weight("none", "comparisons have no weights")
_TEXTS = (
    "task_id", "task_type", "split", "instruction", "expert_trajectory_id", "explored_trajectory_id", "checkpoint",
    "expert_action", "explored_action", "verdict", "rule", "preset", "compared_outcome", "expert_beats_explored",
)  # fmt: skip
_NUMBERS = ("gap", "gap_low", "gap_high", "error_rate", "delta", "drop_probability", "similarity")


class Verdicts(Target[ComparisonRow]):
    name = "verdicts"
    title = "Step verdicts with their evidence, as Parquet"
    reader = "pyarrow, pandas, polars, DuckDB, datasets"
    source = Comparisons
    weight = NO_WEIGHT
    form = "parquet"
    masks = False
    schema = pa.schema(
        [
            ("deviation_id", pa.string()),
            ("step_index", pa.int64()),
            ("selected", pa.bool_()),
            ("explored_success", pa.bool_()),
            *((name, pa.string()) for name in _TEXTS),
            *((name, pa.float64()) for name in _NUMBERS),
            *(
                (f"{side}_{name}", pa.int64() if name == "n" else pa.float64())
                for side in SIDES
                for name in ("reward", "n", "wins", "low", "high")
            ),
        ]
    )
    usage = """\
import duckdb

duckdb.sql("SELECT verdict, count(*), avg(gap) FROM 'FOLDER/data/*.parquet' GROUP BY ALL")"""
    limits = (
        "`wins` is the sum of the outcomes, `low` and `high` are the 95 % Wilson interval of their mean; "
        "`gap_low` and `gap_high` hold whenever sampling stopped, but for `error_rate` at each end.",
    )

    def row(self, row: ComparisonRow) -> dict[str, Any]:
        return {name: row.about[name] for name in self.schema.names}


class Stepwise(Target[ComparisonRow]):
    name = "stepwise"
    title = "Labels of steps: prompt, completions, labels"
    reader = "generic JSON Lines (TRL had a trainer of it up to 1.15)"
    source = Comparisons
    weight = NO_WEIGHT
    masks = False
    usage = """\
from datasets import load_dataset

data = load_dataset("FOLDER", split="train")  # prompt: text; completions: texts; labels: true or false for each"""
    limits = (
        "The turns before the compared one are the expert's and have the label true; the last one has its verdict.",
        "Comparisons that are undecided or were filtered have no label and are left out.",
        "The prompt ends with the task; what the world answered to each completion is in `observations`.",
    )

    def prepared(self, row: ComparisonRow, audit: Audit) -> Iterator[ComparisonRow]:
        if row.about["verdict"] in ("deviated", "not_deviated"):
            yield row
        else:
            audit.drop(f"{row.about['verdict']}: no label")

    def row(self, row: ComparisonRow) -> dict[str, Any]:
        start, *others = row.messages
        turns = [message.content for message in others if message.role == "assistant"]
        good = row.about["verdict"] == "not_deviated"
        return {
            "deviation_id": row.id,
            "prompt": start.content,
            "completions": turns,
            "labels": [True] * (len(turns) - 1) + [good],
            "observations": [message.content for message in others if message.role == "user"],
            "reward": row.about["explored_reward"],
            "reference_reward": row.about["reference_reward"],
        }
