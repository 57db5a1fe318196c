"""verl's SFT and prime-rl's: every turn of the agent is trained on, whatever precedes it.

verl: the mask of a message follows from its role alone (verl/utils/dataset/multiturn_sft_dataset.py,
_process_single_message). prime-rl: prompt and completion are one conversation, masked by role
(src/prime_rl/trainer/sft/data.py, SFTDataset._process).
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from formats.rows.conversation import ExampleRow
from formats.targets.examples import ExampleTarget
from formats.targets.target import Weight

CHAT = pa.struct([("role", pa.string()), ("content", pa.string())])


class _RoleMasked(ExampleTarget):
    contexts = ("fold", "drop")
    weight = Weight("lost", "its trainer has no weights of examples")

    def row(self, row: ExampleRow) -> dict[str, Any]:
        return {"messages": [m.chat for m in row.messages]}

    def trained(self, written: dict[str, Any]) -> list[bool]:
        return [m["role"] == "assistant" for m in written["messages"]]


class VerlSft(_RoleMasked):
    name = "verl-sft"
    title = "verl MultiTurnSFTDataset"
    reader = "verl 0.9"
    form = "parquet"
    schema = pa.schema([("messages", pa.list_(CHAT))])
    usage = """\
data.train_files=FOLDER/data/train-00000.parquet data.messages_key=messages \\
    data.max_length=8192 data.truncation=error"""
    limits = ("max_length is 1024 tokens unless it is set; longer rows stop the training.",)


class PrimeRlSft(_RoleMasked):
    name = "prime-rl-sft"
    title = "prime-rl SFT"
    reader = "prime-rl 0.8"
    usage = """\
# in prime-rl's TOML file
[data]
type = "sft"
name = "FOLDER\""""
    limits = ("seq_len cuts long rows.",)
