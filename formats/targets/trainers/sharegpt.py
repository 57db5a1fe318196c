"""ShareGPT as AgentTraj-L writes it: `conversations` of {from, loss, value}.

`loss` is null for what the world says, and true or false for the agent's turns. The trainers of AgentTraj-L's family
(AgentGym, ETO) train where it is true. Readers that do not know the flag train on every turn of `gpt`.
"""

from __future__ import annotations

from typing import Any

from formats.rows.conversation import ChatMessage, ExampleRow
from formats.targets.examples import MaskingTarget
from formats.targets.target import Weight

NAMES = {"user": "human", "assistant": "gpt", "system": "system"}


def _message(message: ChatMessage) -> dict[str, Any]:
    return {
        "from": NAMES[message.role],
        "loss": message.target if message.role == "assistant" else None,
        "value": message.content,
    }


class Sharegpt(MaskingTarget):
    name = "sharegpt"
    title = "ShareGPT with the loss flag of AgentTraj-L"
    reader = "AgentGym, AgentTraj-L"
    weight = Weight("lost", "the flag says whether a turn is trained on, not how much")
    usage = """\
import json

rows = [json.loads(line) for line in open("FOLDER/data/train-00000.jsonl", encoding="utf-8")]"""
    limits = (
        "A reader that does not know `loss` trains on the deviated turns too: check yours, or use another format.",
    )

    def row(self, row: ExampleRow) -> dict[str, Any]:
        return {"item_id": row.id, "conversations": [_message(m) for m in row.messages]}

    def trained(self, written: dict[str, Any]) -> list[bool]:
        return [m["from"] == "gpt" and m["loss"] is True for m in written["conversations"]]
