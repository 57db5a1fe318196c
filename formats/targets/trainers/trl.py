"""TRL: `SFTTrainer` and `DPOTrainer`.

SFT: prompt and completion, lists of messages. The loss is on the completion (`completion_mask`); with
assistant_only_loss=True only on what the chat template marks by {% generation %} in it: both masks must be 1
(trl/trainer/sft_trainer.py, DataCollatorForLanguageModeling). Without it the world's answers would be trained on too.
DPO: log-probabilities of all tokens of a completion (trl/trainer/dpo_trainer.py).
"""

from __future__ import annotations

from typing import Any

from formats.rows.conversation import ExampleRow, PairRow
from formats.targets.examples import MaskingTarget
from formats.targets.pairs import PairTarget
from formats.targets.target import Weight


class TrlSft(MaskingTarget):
    name = "trl-sft"
    title = "TRL SFT: prompt and completion"
    reader = "trl 1.16"
    weight = Weight(
        "lost", "SFTTrainer has no weights of examples; the column `weight` is there for one that has"
    )
    usage = """\
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

data = load_dataset("FOLDER", split="train")
# assistant_only_loss leaves out what the world answers; the chat template needs {% generation %}.
settings = SFTConfig(output_dir="out", assistant_only_loss=True, max_length=None)
SFTTrainer(model=MODEL, args=settings, train_dataset=data, processing_class=TOKENIZER).train()"""
    limits = (
        "Without assistant_only_loss=True the observations inside a completion are trained on.",
        "max_length of SFTConfig cuts long rows at 1024 tokens unless it is set; the targets are at the end.",
    )

    def row(self, row: ExampleRow) -> dict[str, Any]:
        first = row.first_target
        return {
            "example_id": row.id,
            "prompt": [m.chat for m in row.messages[:first]],
            "completion": [m.chat for m in row.messages[first:]],
            "weight": row.weight,
        }

    def trained(self, written: dict[str, Any]) -> list[bool]:
        completion = [message["role"] == "assistant" for message in written["completion"]]
        return [False] * len(written["prompt"]) + completion


class TrlDpo(PairTarget):
    name = "trl-dpo"
    title = "TRL DPO: prompt, chosen and rejected"
    reader = "trl 1.16"
    trains_observations = True
    usage = """\
from datasets import load_dataset
from trl import DPOConfig, DPOTrainer

data = load_dataset("FOLDER", split="train")
settings = DPOConfig(output_dir="out", max_length=None)
DPOTrainer(model=MODEL, args=settings, train_dataset=data, processing_class=TOKENIZER).train()"""
    limits = (
        "Where a side has several turns, the observations between them enter its log-probability and get a gradient.",
    )

    def row(self, row: PairRow) -> dict[str, Any]:
        return {
            "pair_id": row.id,
            "prompt": [m.chat for m in row.prompt],
            "chosen": [m.chat for m in row.chosen],
            "rejected": [m.chat for m in row.rejected],
        }

    def trained(self, written: dict[str, Any]) -> list[bool]:
        sides = len(written["chosen"]) + len(written["rejected"])
        return [False] * len(written["prompt"]) + [True] * sides
