"""verl's data for reinforcement learning: a prompt a task, and what a reward function needs to judge it."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from formats.rows.tasks import TaskRow, Tasks
from formats.targets.target import Target, Weight
from formats.targets.trainers.role_masked import CHAT


class VerlRl(Target[TaskRow]):
    name = "verl-rl"
    title = "verl RLHFDataset: prompts of the training tasks"
    reader = "verl 0.9"
    source = Tasks
    weight = Weight("none", "tasks have no weights")
    form = "parquet"
    masks = False
    schema = pa.schema(
        [
            ("data_source", pa.string()),
            ("prompt", pa.list_(CHAT)),
            ("ability", pa.string()),
            ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
            (
                "extra_info",
                pa.struct(
                    [
                        ("task_id", pa.string()),
                        ("split", pa.string()),
                        ("task_type", pa.string()),
                        ("instruction", pa.string()),
                        ("expert_steps", pa.int64()),
                    ]
                ),
            ),
        ]
    )
    usage = "data.train_files=FOLDER/data/train-00000.parquet data.prompt_key=prompt"
    limits = (
        "`reward_model.ground_truth` is the task as JSON (world, id, payload): the reward is the world's own, so a "
        "reward function has to play the world (steca world serve).",
    )

    def row(self, row: TaskRow) -> dict[str, Any]:
        about = row.about
        truth = {"world": about["world"], "task_id": row.id, "payload": about["payload"]}
        return {
            "data_source": about["world"],
            "prompt": [{"role": "user", "content": row.start}],
            "ability": "agent",
            "reward_model": {"style": "rule", "ground_truth": json.dumps(truth, ensure_ascii=False)},
            "extra_info": {
                "task_id": row.id,
                **{name: about[name] for name in ("split", "task_type", "instruction", "expert_steps")},
            },
        }
