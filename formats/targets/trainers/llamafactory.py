"""LLaMA-Factory 0.9, classic: ShareGPT rows and dataset_info.json.

Every turn of `gpt` is trained on; with mask_history: true in the training's settings only the last one
(src/llamafactory/data/processor/supervised.py). So turns of the context cannot be left out, unless each target turn has
a row of its own (--context split). A preference pair has one message a side.
"""

from __future__ import annotations

import json
from typing import Any

from formats.rows.conversation import ExampleRow, PairRow
from formats.targets.examples import ExampleTarget
from formats.targets.pairs import OneTurnPairTarget
from formats.targets.target import Weight
from formats.targets.trainers.sharegpt import NAMES

TAGS = {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt"}
USAGE = """\
# in the training's YAML file
dataset_dir: FOLDER
dataset: DATASET
{}cutoff_len: 8192   # longer rows are cut"""


def dataset_info(dataset: str, **more: Any) -> dict[str, bytes]:
    """dataset_info.json of one data set: all files of the folder data."""
    entry = {"file_name": "data", "formatting": "sharegpt", **more, "tags": TAGS}
    return {"dataset_info.json": (json.dumps({dataset: entry}, indent=2) + "\n").encode()}


def _said(role: str, content: str) -> dict[str, str]:
    return {"from": NAMES[role], "value": content}


class LlamafactorySft(ExampleTarget):
    name = "llamafactory-sft"
    title = "LLaMA-Factory, classic"
    reader = "llamafactory 0.9.5"
    contexts = ("fold", "drop", "split")
    weight = Weight("lost", "its trainer has no weights of examples")
    limits = ("cutoff_len cuts long rows, at 2048 tokens unless it is set.",)

    @property
    def usage(self) -> str:  # type: ignore[override]
        return USAGE.format(
            "mask_history: true   # required: each row is for its last turn\n" * self._last_only
        )

    @property
    def _last_only(self) -> bool:
        return self.context == "split"

    def row(self, row: ExampleRow) -> dict[str, Any]:
        return {"conversations": [_said(m.role, m.content) for m in row.messages]}

    def trained(self, written: dict[str, Any]) -> list[bool]:
        turns = [message["from"] == "gpt" for message in written["conversations"]]
        return [False] * (len(turns) - 1) + turns[-1:] if self._last_only else turns

    def files(self, dataset: str) -> dict[str, bytes]:
        return dataset_info(dataset, columns={"messages": "conversations"})


class LlamafactoryDpo(OneTurnPairTarget):
    name = "llamafactory-dpo"
    title = "LLaMA-Factory, classic: preference pairs"
    reader = "llamafactory 0.9.5"
    usage = USAGE.format("")

    def row(self, row: PairRow) -> dict[str, Any]:
        chosen, rejected = (_said("assistant", side[0].content) for side in (row.chosen, row.rejected))
        return {
            "conversations": [_said(m.role, m.content) for m in row.prompt],
            "chosen": chosen,
            "rejected": rejected,
        }

    def trained(self, written: dict[str, Any]) -> list[bool]:
        return [False] * len(written["conversations"]) + [True, True]

    def files(self, dataset: str) -> dict[str, bytes]:
        columns = {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"}
        return dataset_info(dataset, ranking=True, columns=columns)
