"""LLaMA-Factory 0.9, version 1 of its trainer (USE_V1=1): a loss_weight for each message.

A message is trained on if its loss_weight is above 1e-6; the loss is sum(weight * nll) / sum(weight) over the tokens of
a micro-batch (src/llamafactory/v1/core/utils/rendering.py, v1/trainers/sft_trainer.py). Pairs: whole conversations, and
messages with loss_weight 0 are left out of the log-probabilities.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from formats.audit import Audit
from formats.rows.conversation import ChatMessage, ExampleRow, PairRow
from formats.targets.examples import MaskingTarget
from formats.targets.pairs import PairTarget
from formats.targets.target import Weight

LEAST = 1e-6
"""Weights up to this are those of context."""
USAGE = """\
# in the training's YAML file, with USE_V1=1
train_dataset: FOLDER/data"""


def _message(message: ChatMessage, weight: float) -> dict[str, Any]:
    content = [{"type": "text", "value": message.content}]
    return {"role": message.role, "content": content, "loss_weight": weight if message.target else 0.0}


def _trained(messages: list[dict[str, Any]]) -> list[bool]:
    usual = {"assistant": 1.0}
    return [m.get("loss_weight", usual.get(m["role"], 0.0)) > LEAST for m in messages]


class LlamafactoryV1Sft(MaskingTarget):
    name = "llamafactory-v1-sft"
    title = "LLaMA-Factory v1: a loss_weight each message"
    reader = "llamafactory 0.9.5, USE_V1=1"
    weight = Weight(
        "divided",
        "the loss is divided by the sum of the weights of a micro-batch: with one row in it the weight cancels",
    )
    usage = USAGE
    limits = ("cutoff_len cuts long rows, at 2048 tokens unless it is set.",)

    def prepared(self, row: ExampleRow, audit: Audit) -> Iterator[ExampleRow]:
        if row.weight > LEAST:
            yield row
        else:
            audit.drop("weight 0: the trainer takes its turns for context")

    def row(self, row: ExampleRow) -> dict[str, Any]:
        return {"messages": [_message(m, row.weight) for m in row.messages]}

    def trained(self, written: dict[str, Any]) -> list[bool]:
        return _trained(written["messages"])


class LlamafactoryV1Dpo(PairTarget):
    name = "llamafactory-v1-dpo"
    title = "LLaMA-Factory v1: pairs of conversations"
    reader = LlamafactoryV1Sft.reader
    usage = USAGE
    limits = LlamafactoryV1Sft.limits

    def row(self, row: PairRow) -> dict[str, Any]:
        return {
            f"{side}_messages": [_message(m, 1.0) for m in (*row.prompt, *turns)]
            for side, turns in (("chosen", row.chosen), ("rejected", row.rejected))
        }

    def trained(self, written: dict[str, Any]) -> list[bool]:
        """Prompt and chosen, then rejected without the prompt, which both have: it begins at its first target."""
        chosen, rejected = _trained(written["chosen_messages"]), _trained(written["rejected_messages"])
        return chosen + rejected[rejected.index(True) :]
