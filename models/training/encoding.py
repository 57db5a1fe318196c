"""Encodes conversations as training examples: token ids, and which of them are targets.

In training the policy must see what it will see in generation. With an append-only template one sequence has every turn
after its own prompt. Other templates rewrite earlier messages (they drop the thinking of earlier turns, or end the last
message differently); there each target turn follows exactly the ids that generation feeds, and two turns share a
sequence only if the later prompt continues the earlier turn's tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

import torch
from transformers import PreTrainedTokenizerBase

from models.chat_templates import ChatTemplate
from models.local.rendering import HistoryEncoder
from models.policy import PolicyFault
from models.training.examples import Example

IGNORED = -100
"""The label of a token that is context only."""


_Sequence = tuple[list[int], list[int]]
"""Ids and labels."""


class Encoded(TypedDict):
    """An example in tokens: its sequences concatenated, and their lengths. Labels are IGNORED on context, observations
    and turns that are not targets."""

    input_ids: list[int]
    labels: list[int]
    lengths: list[int]
    weight: float


class Encoder:
    """Encodes examples for one tokenizer, with thinking off in the template (see Example.thinking)."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> None:
        self._tokenizer, self._max_tokens = tokenizer, max_tokens
        self._template, self._histories = ChatTemplate(tokenizer), HistoryEncoder(tokenizer)

    def encode(self, example: Example) -> Encoded:
        """The targets are each target turn and the token that ends it. Anything after the last target is dropped.

        Raises PolicyFault if there is no target, the targets do not match the messages, a sequence is longer than
        max_tokens, or the template changes the turns.
        """
        turns = _target_turns(example)
        sequences = self._as_one_sequence(example, turns) or self._as_continuations(example, turns)
        longest = max(len(ids) for ids, _ in sequences)
        if longest > self._max_tokens:
            raise PolicyFault(
                f"training example {example.name} has {longest} tokens, more than max_tokens = {self._max_tokens}: "
                "raise training.max_tokens (up to the model's context) or lower environment.step_cap"
            )
        return {
            "input_ids": [token for ids, _ in sequences for token in ids],
            "labels": [label for _, labels in sequences for label in labels],
            "lengths": [len(ids) for ids, _ in sequences],
            "weight": example.weight,
        }

    def _as_one_sequence(self, example: Example, turns: Sequence[int]) -> list[_Sequence]:
        """One sequence, tokenized as a whole; [] if the template is not append-only, or if a prompt's tokens differ
        from those of the whole."""
        spans = list(self._spans(example, turns))
        if len(spans) < len(turns):
            return []
        text = self._template.conversation(example.messages[: turns[-1] + 1])
        tokens = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids, offsets = tokens["input_ids"], tokens["offset_mapping"]
        prompts = self._histories.encode([example.messages[:turn] for turn in turns])
        if any(ids[: len(prompt)] != prompt.tolist() for prompt in prompts):
            return []
        labels, span = [IGNORED] * len(ids), 0
        for i, (start, end) in enumerate(offsets):
            while span < len(spans) and end > spans[span][1]:
                span += 1
            if span < len(spans) and start >= spans[span][0]:
                labels[i] = ids[i]
        return [(ids, labels)]

    def _spans(self, example: Example, turns: Sequence[int]) -> Iterator[tuple[int, int]]:
        """(first character, end) of the target turns in the conversation, up to the first one that the conversation
        renders differently than after its prompt, or without its end."""
        usual = self._template.placeholder_turn
        whole = self._template.conversation(example.messages)
        for turn in turns:
            before = self._template.prompt(example.messages[:turn])
            after = self._template.conversation(example.messages[: turn + 1])
            if not (
                after.startswith(before) and whole.startswith(after) and usual.end in after[len(before) :]
            ):
                return
            yield len(before) + (len(usual.lead) if example.thinking else 0), len(after)

    def _as_continuations(self, example: Example, turns: Sequence[int]) -> list[_Sequence]:
        """Each turn after the ids that generation feeds, in as few sequences as possible."""
        sequences: list[_Sequence] = []
        for turn in turns:
            prompt = self._histories.encode([example.messages[:turn]])[0].tolist()
            context, target = self._turn(example, turn)
            known, labels = sequences[-1] if sequences else ([], [])
            if known and prompt[: len(known)] == known:
                sequences.pop()
            else:
                known, labels = [], []
            context_labels = [IGNORED] * (len(prompt) - len(known) + len(context))
            sequences.append(([*prompt, *context, *target], [*labels, *context_labels, *target]))
        return sequences

    def _turn(self, example: Example, turn: int) -> tuple[list[int], list[int]]:
        """The ids after a turn's prompt: further context, and the target."""
        messages = example.messages[: turn + 1]
        try:
            written = self._template.turn(messages)
        except PolicyFault as fault:
            raise PolicyFault(f"training example {example.name}, message {turn + 1}: {fault}") from None
        prompt = self._template.prompt(messages[:-1])
        if not example.thinking:
            return [], self._continued(prompt, written.lead + written.text + written.end)
        context = self._continued(prompt, written.lead)
        return context, self._continued(prompt + written.lead, written.text + written.end)

    def _continued(self, before: str, text: str) -> list[int]:
        """The ids of a text after another one, without tokens that span both, as in generation. Only the last line of
        `before` is used."""
        last = before[before.rstrip("\n").rfind("\n") + 1 :]
        alone, joint = (
            self._tokenizer(t, add_special_tokens=False)["input_ids"] for t in (last, last + text)
        )
        if joint[: len(alone)] == alone:
            return list(joint[len(alone) :])
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])


def _target_turns(example: Example) -> list[int]:
    """The indices of the messages that are trained on."""
    turns = [i for i, message in enumerate(example.messages) if message["role"] == "assistant"]
    if len(turns) != len(example.targets):
        raise PolicyFault(
            f"training example {example.name} has {len(turns)} assistant messages but {len(example.targets)} "
            "targets: give one flag per turn"
        )
    wanted = [turn for turn, target in zip(turns, example.targets, strict=True) if target]
    if not wanted:
        raise PolicyFault(
            f"training example {example.name} has no target turn: remove it from the training set"
        )
    return wanted


@dataclass(frozen=True, slots=True)
class Collator:
    """Pads on the right: input_ids, attention_mask, labels [sequences, longest]; weights [sequences].

    An example's losses (models/training/objectives/losses.py, with the same `reduction`) times these weights add up to
    its weight times the sum, or the mean, over all its target tokens, however many sequences they are in.
    """

    pad: int
    reduction: str = "sum"

    def __call__(self, items: Sequence[Encoded]) -> dict[str, torch.Tensor]:
        rows = [row for item in items for row in sequences_of(item, self.reduction)]
        longest = max(len(ids) for ids, _, _ in rows)
        ids = torch.full((len(rows), longest), self.pad)
        labels = torch.full((len(rows), longest), IGNORED)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for row, (row_ids, row_labels, _) in enumerate(rows):
            ids[row, : len(row_ids)] = torch.tensor(row_ids)
            labels[row, : len(row_ids)] = torch.tensor(row_labels)
            mask[row, : len(row_ids)] = 1
        weights = torch.tensor([weight for _, _, weight in rows], dtype=torch.float32)
        return {"input_ids": ids, "attention_mask": mask, "labels": labels, "weights": weights}


def sequences_of(item: Encoded, reduction: str = "sum") -> Iterator[tuple[list[int], list[int], float]]:
    """Ids, labels and weight of each of an example's sequences."""
    start, targets = 0, target_count(item["labels"])
    for length in item["lengths"]:
        here = slice(start, start + length)
        labels = item["labels"][here]
        share = target_count(labels) / targets if reduction == "mean" else 1.0
        yield item["input_ids"][here], labels, item["weight"] * share
        start += length


def target_count(labels: Sequence[int]) -> int:
    """How many labels are targets."""
    return sum(label != IGNORED for label in labels)
