"""axolotl: `chat_template` data sets with a flag each message, and `chat_template.default` pairs.

With message_field_training a message is trained on if its flag is true; without a flag, by its role
(axolotl/prompt_strategies/chat_template.py, _tokenize_single_prompt). A side of a pair is one message
(axolotl/prompt_strategies/dpo/chat_template.py).
"""

from __future__ import annotations

from typing import Any

from formats.rows.conversation import ExampleRow, PairRow
from formats.targets.examples import MaskingTarget
from formats.targets.pairs import OneTurnPairTarget
from formats.targets.target import Weight

SFT = """\
# in axolotl's YAML file; eot_tokens has to name the token that ends a turn in your template
datasets:
  - path: FOLDER/data
    ds_type: json
    type: chat_template
    field_messages: messages
    message_field_training: train
train_on_inputs: false"""
DPO = """\
# in axolotl's YAML file
rl: dpo
datasets:
  - path: FOLDER/data
    ds_type: json
    type: chat_template.default
    field_messages: messages"""


class AxolotlSft(MaskingTarget):
    name = "axolotl-sft"
    title = "axolotl chat_template: a flag each message"
    reader = "axolotl 0.19"
    weight = Weight("lost", "a message is trained on or not; there are no weights")
    usage = SFT
    limits = ("Without message_field_training: train the deviated turns are trained on.",)

    def row(self, row: ExampleRow) -> dict[str, Any]:
        return {"messages": [{**m.chat, "train": m.target} for m in row.messages]}

    def trained(self, written: dict[str, Any]) -> list[bool]:
        return [m.get("train", m["role"] == "assistant") for m in written["messages"]]


class AxolotlDpo(OneTurnPairTarget):
    name = "axolotl-dpo"
    title = "axolotl chat_template.default: pairs"
    reader = "axolotl 0.19"
    usage = DPO

    def row(self, row: PairRow) -> dict[str, Any]:
        return {
            "messages": [m.chat for m in row.prompt],
            "chosen": row.chosen[0].chat,
            "rejected": row.rejected[0].chat,
        }

    def trained(self, written: dict[str, Any]) -> list[bool]:
        return [False] * len(written["messages"]) + [True, True]
