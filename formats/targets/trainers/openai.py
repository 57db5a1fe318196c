"""The JSON Lines of OpenAI's fine-tuning, which Fireworks and Together read too.

An assistant's message is trained on unless its `weight` is 0 ("weight": 0 or 1, default 1; OpenAI API reference,
fine-tuning, chat format). Fireworks adds `weight` at the root of a row: a factor of its loss, on all rows or none.
Preference: input.messages, then one assistant message a side (OpenAI, direct preference optimization).
"""

from __future__ import annotations

from typing import Any

from formats.rows.conversation import ChatMessage, ExampleRow, PairRow
from formats.targets.examples import MaskingTarget
from formats.targets.pairs import OneTurnPairTarget
from formats.targets.target import Weight


def _message(message: ChatMessage) -> dict[str, Any]:
    weight = {"weight": int(message.target)} if message.role == "assistant" else {}
    return {**message.chat, **weight}


class OpenaiSft(MaskingTarget):
    name = "openai-sft"
    title = "OpenAI chat fine-tuning, also Together"
    reader = "OpenAI fine-tuning API, chat format"
    weight = Weight(
        "lost", "the weight of a message is 0 or 1: it says whether it is trained on, not how much"
    )
    usage = "openai api files.create -p fine-tune -f FOLDER/data/train-00000.jsonl"

    def row(self, row: ExampleRow) -> dict[str, Any]:
        return {"messages": [_message(m) for m in row.messages]}

    def trained(self, written: dict[str, Any]) -> list[bool]:
        return [m["role"] == "assistant" and m.get("weight", 1) != 0 for m in written["messages"]]


class FireworksSft(OpenaiSft):
    name = "fireworks-sft"
    title = "Fireworks fine-tuning: OpenAI's rows with a weight each"
    reader = "Fireworks supervised fine-tuning"
    weight = Weight("carried", "`weight` at the root of a row is a factor of its loss")
    usage = "firectl dataset create NAME FOLDER/data/train-00000.jsonl"

    def row(self, row: ExampleRow) -> dict[str, Any]:
        return {**super().row(row), "weight": row.weight}


class OpenaiDpo(OneTurnPairTarget):
    name = "openai-dpo"
    title = "OpenAI preference fine-tuning"
    reader = "OpenAI fine-tuning API, preference format"
    usage = OpenaiSft.usage

    def row(self, row: PairRow) -> dict[str, Any]:
        return {
            "input": {"messages": [m.chat for m in row.prompt]},
            "preferred_output": [m.chat for m in row.chosen],
            "non_preferred_output": [m.chat for m in row.rejected],
        }

    def trained(self, written: dict[str, Any]) -> list[bool]:
        sides = [*written["preferred_output"], *written["non_preferred_output"]]
        return [False] * len(written["input"]["messages"]) + [m["role"] == "assistant" for m in sides]
