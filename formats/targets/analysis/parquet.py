"""Plain Parquet: everything that a training of one's own needs, one row an example."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from formats.rows.conversation import ExampleRow
from formats.targets.examples import MaskingTarget
from formats.targets.target import Weight

MESSAGE = pa.struct(
    [
        ("role", pa.string()),
        ("content", pa.string()),
        ("trained", pa.bool_()),
        ("step_index", pa.int64()),
        ("origin", pa.string()),
        ("action", pa.string()),
        ("valid", pa.bool_()),
    ]
)
TEXTS = ("task_id", "task_type", "instruction", "trajectory_id", "calibration_id", "deviation_id", "verdict")


class Parquet(MaskingTarget):
    name = "parquet"
    title = "Plain Parquet: messages with a flag each, weight, verdict and ids"
    reader = "pyarrow, pandas, polars, DuckDB, datasets"
    weight = Weight("carried", "column `weight`")
    form = "parquet"
    schema = pa.schema(
        [
            ("example_id", pa.string()),
            ("dataset", pa.string()),
            ("weight", pa.float64()),
            ("target_from", pa.int64()),
            ("messages", pa.list_(MESSAGE)),
            *((name, pa.string()) for name in TEXTS),
        ]
    )
    usage = """\
import duckdb

duckdb.sql("SELECT dataset, count(*), avg(weight) FROM 'FOLDER/data/*.parquet' GROUP BY ALL")"""

    def row(self, row: ExampleRow) -> dict[str, Any]:
        messages = [
            {
                **m.chat,
                "trained": m.target,
                "step_index": m.step_index,
                "origin": m.step.origin if m.step and m.role == "assistant" else None,
                "action": m.step.action if m.step and m.role == "assistant" else None,
                "valid": m.step.valid if m.step and m.role == "assistant" else None,
            }
            for m in row.messages
        ]
        about = {name: row.about[name] for name in ("dataset", "target_from", *TEXTS)}
        return {"example_id": row.id, "weight": row.weight, "messages": messages, **about}

    def trained(self, written: dict[str, Any]) -> list[bool]:
        return [message["trained"] for message in written["messages"]]
