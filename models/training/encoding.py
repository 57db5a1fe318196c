"""Conversations as training examples: token ids, and which of them the policy is trained to write.

Training must show the policy what it will see when it plays. Under a template that only adds to a conversation one
sequence shows every turn after its own prompt. Others rewrite what came before (they drop the thinking of earlier
turns, or end the last message in a way of its own); there a target turn is put after the very ids that generation
feeds, and two turns share a sequence only where the prompt of the later one goes on from the earlier one's tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

import torch
from transformers import PreTrainedTokenizerBase

from models.chat_templates import ChatTemplate
from models.local.rendering import HistoryEncoder
from models.policy import Message, PolicyFault

IGNORED = -100
"""The label of a token that is context only."""


_Sequence = tuple[list[int], list[int]]
"""Ids and labels."""


@dataclass(frozen=True, slots=True)
class Example:
    """One weighted trajectory. `targets` says for each assistant message, in order, whether it is trained on;
    `name` appears in messages about it. `thinking`: the policy thinks before its turns; as the trajectory holds no
    thoughts of that kind, what stands between its prompt and its turn is then context and no target."""

    name: str
    messages: Sequence[Message]
    targets: Sequence[bool]
    weight: float = 1.0
    thinking: bool = False


class Encoded(TypedDict):
    """An example in tokens: its sequences one after the other, and how long each is. Labels are IGNORED on context,
    observations and turns that are no target."""

    input_ids: list[int]
    labels: list[int]
    lengths: list[int]
    weight: float


def encode(tokenizer: PreTrainedTokenizerBase, example: Example, max_tokens: int) -> Encoded:
    """One example; many of them are faster with one Encoder. Raises PolicyFault."""
    return Encoder(tokenizer, max_tokens).encode(example)


class Encoder:
    """Encodes examples for one tokenizer, the template being told not to think (see Example.thinking)."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> None:
        self._tokenizer, self._max_tokens = tokenizer, max_tokens
        self._template, self._histories = ChatTemplate(tokenizer), HistoryEncoder(tokenizer)

    def encode(self, example: Example) -> Encoded:
        """Each target turn and the token that ends it are targets. What follows the last target is left out.

        Raises PolicyFault where there is no target, the targets do not fit the messages, a sequence is longer than
        max_tokens, or the template keeps no turn as it was written.
        """
        turns = _target_turns(example)
        sequences = self._one(example, turns) or self._by_turns(example, turns)
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

    def _one(self, example: Example, turns: Sequence[int]) -> list[_Sequence]:
        """One sequence, tokenized as a whole; none where the template does not only add to a conversation, or where
        tokens of the whole are others than those of a prompt in it."""
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
        """(first character, end) of the target turns in the conversation, up to the first one that does not stay in it
        as it is after its prompt, or whose end is not in it."""
        usual = self._template.usual
        whole = self._template.conversation(example.messages)
        for turn in turns:
            before = self._template.prompt(example.messages[:turn])
            after = self._template.conversation(example.messages[: turn + 1])
            if not (
                after.startswith(before) and whole.startswith(after) and usual.end in after[len(before) :]
            ):
                return
            yield len(before) + (len(usual.lead) if example.thinking else 0), len(after)

    def _by_turns(self, example: Example, turns: Sequence[int]) -> list[_Sequence]:
        """Each turn after the ids that generation feeds, as few sequences as that gives."""
        sequences: list[_Sequence] = []
        for turn in turns:
            prompt = self._histories.encode([example.messages[:turn]])[0].tolist()
            context, target = self._turn(example, turn)
            known, labels = sequences[-1] if sequences else ([], [])
            if known and prompt[: len(known)] == known:
                sequences.pop()
            else:
                known, labels = [], []
            unlearned = [IGNORED] * (len(prompt) - len(known) + len(context))
            sequences.append(([*prompt, *context, *target], [*labels, *unlearned, *target]))
        return sequences

    def _turn(self, example: Example, turn: int) -> tuple[list[int], list[int]]:
        """The ids of what follows a turn's prompt: what is context still, and the target."""
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
        """The ids of a text that follows another one, none of them reaching over the border: what is generated starts
        right there. Only the other's last line is looked at."""
        last = before[before.rstrip("\n").rfind("\n") + 1 :]
        alone, joint = (
            self._tokenizer(t, add_special_tokens=False)["input_ids"] for t in (last, last + text)
        )
        if joint[: len(alone)] == alone:
            return list(joint[len(alone) :])
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])


def _target_turns(example: Example) -> list[int]:
    """The messages that are trained on."""
    turns = [i for i, message in enumerate(example.messages) if message["role"] == "assistant"]
    if len(turns) != len(example.targets):
        raise PolicyFault(
            f"training example {example.name} has {len(turns)} assistant messages but {len(example.targets)} "
            "targets: give one flag a turn"
        )
    wanted = [turn for turn, target in zip(turns, example.targets, strict=True) if target]
    if not wanted:
        raise PolicyFault(
            f"training example {example.name} has no target turn: leave it out of the training set"
        )
    return wanted


@dataclass(frozen=True, slots=True)
class Collator:
    """Pads on the right: input_ids, attention_mask, labels [sequences, longest]; weights [sequences].

    The weights are such that an example's losses (`models.training.losses`, by the same `reduction`) times its weights
    add up to its weight times the sum, or the mean, over all of its target tokens, in however many sequences they are.
    """

    pad: int
    reduction: str = "sum"

    def __call__(self, items: Sequence[Encoded]) -> dict[str, torch.Tensor]:
        rows = [row for item in items for row in _sequences(item, self.reduction)]
        longest = max(len(ids) for ids, _, _ in rows)
        ids = torch.full((len(rows), longest), self.pad)
        labels = torch.full((len(rows), longest), IGNORED)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for row, (given, wanted, _) in enumerate(rows):
            ids[row, : len(given)] = torch.tensor(given)
            labels[row, : len(given)] = torch.tensor(wanted)
            mask[row, : len(given)] = 1
        weights = torch.tensor([weight for _, _, weight in rows], dtype=torch.float32)
        return {"input_ids": ids, "attention_mask": mask, "labels": labels, "weights": weights}


def _sequences(item: Encoded, reduction: str) -> Iterator[tuple[list[int], list[int], float]]:
    """Ids, labels and weight of each of an example's sequences."""
    start, targets = 0, _targets(item["labels"])
    for length in item["lengths"]:
        here = slice(start, start + length)
        labels = item["labels"][here]
        share = _targets(labels) / targets if reduction == "mean" else 1.0
        yield item["input_ids"][here], labels, item["weight"] * share
        start += length


def _targets(labels: Sequence[int]) -> int:
    return sum(label != IGNORED for label in labels)
