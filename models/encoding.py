"""Conversations as training examples: token ids, and which of them the policy is trained to write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict, cast

import torch
from transformers import PreTrainedTokenizerBase

from models.policy import Message, PolicyFault

IGNORED = -100
"""The label of a token that is context only."""


@dataclass(frozen=True, slots=True)
class Example:
    """One weighted trajectory. `targets` says for each assistant message, in order, whether it is trained on;
    `name` appears in messages about it."""

    name: str
    messages: Sequence[Message]
    targets: Sequence[bool]
    weight: float = 1.0


class Encoded(TypedDict):
    """An example in tokens; labels are IGNORED on context, observations and turns that are no target."""

    input_ids: list[int]
    labels: list[int]
    weight: float


def encode(tokenizer: PreTrainedTokenizerBase, example: Example, max_tokens: int) -> Encoded:
    """Render with the chat template and mark the targets: each target turn and the token that ends it.

    What follows the last target is left out. Raises PolicyFault where there is no target, the targets do not fit
    the messages, the example is longer than max_tokens, or the template is not append-only.
    """
    spans = list(_target_spans(tokenizer, example))
    if not spans:
        raise PolicyFault(
            f"training example {example.name} has no target turn: leave it out of the training set"
        )
    text = _render(tokenizer, example.messages[: spans[-1][2] + 1], False)
    tokens = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = tokens["input_ids"], tokens["offset_mapping"]
    if len(ids) > max_tokens:
        raise PolicyFault(
            f"training example {example.name} has {len(ids)} tokens, more than max_tokens = {max_tokens}: raise "
            "training.max_tokens (up to the model's context) or lower environment.step_cap"
        )
    labels, span = [IGNORED] * len(ids), 0
    for i, (start, end) in enumerate(offsets):
        while span < len(spans) and end > spans[span][1]:
            span += 1
        if span < len(spans) and start >= spans[span][0]:
            labels[i] = ids[i]
    return {"input_ids": ids, "labels": labels, "weight": example.weight}


def _target_spans(tokenizer: PreTrainedTokenizerBase, example: Example) -> Iterator[tuple[int, int, int]]:
    """(first character, end, message index) of every target turn in the rendered conversation."""
    turns = [i for i, message in enumerate(example.messages) if message["role"] == "assistant"]
    if len(turns) != len(example.targets):
        raise PolicyFault(
            f"training example {example.name} has {len(turns)} assistant messages but {len(example.targets)} "
            "targets: give one flag a turn"
        )
    whole = _render(tokenizer, example.messages, False)
    for turn, wanted in zip(turns, example.targets, strict=True):
        if wanted:
            before = _render(tokenizer, example.messages[:turn], True)
            after = _render(tokenizer, example.messages[: turn + 1], False)
            if not (after.startswith(before) and whole.startswith(after)):
                raise PolicyFault(
                    f"the chat template rewrites earlier turns of training example {example.name}, so its targets "
                    "cannot be marked: use an append-only template"
                )
            yield len(before), len(after), turn


def _render(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], prompt: bool) -> str:
    plain = cast("list[dict[str, str]]", list(messages))
    return str(tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=prompt))


@dataclass(frozen=True, slots=True)
class Collator:
    """Pads on the right: input_ids, attention_mask, labels [batch, longest]; weights [batch]."""

    pad: int

    def __call__(self, items: Sequence[Encoded]) -> dict[str, torch.Tensor]:
        longest = max(len(item["input_ids"]) for item in items)
        ids = torch.full((len(items), longest), self.pad)
        labels = torch.full((len(items), longest), IGNORED)
        mask = torch.zeros((len(items), longest), dtype=torch.long)
        for row, item in enumerate(items):
            size = len(item["input_ids"])
            ids[row, :size] = torch.tensor(item["input_ids"])
            labels[row, :size] = torch.tensor(item["labels"])
            mask[row, :size] = 1
        weights = torch.tensor([item["weight"] for item in items], dtype=torch.float32)
        return {"input_ids": ids, "attention_mask": mask, "labels": labels, "weights": weights}
