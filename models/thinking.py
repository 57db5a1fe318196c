"""Separates a thinking model's thinking from its answer.

Servers that know their model's format return the thinking in its own field. Others leave it in the text, between two
marks; if the chat template has already written the opening mark, only the closing one is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

MARKS = (
    ("<think>", "</think>"),  # Qwen3, DeepSeek-R1 and most others
    ("<thinking>", "</thinking>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),  # Magistral
    ("<|channel>thought", "<channel|>"),  # Gemma 4
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Command A
    ("<seed:think>", "</seed:think>"),
    ("<|channel|>analysis<|message|>", "<|start|>assistant<|channel|>final<|message|>"),  # gpt-oss
)
"""Opening and closing mark of each known format."""


class ParsedTurn(NamedTuple):
    """A model's text in two parts, both stripped of surrounding whitespace."""

    thinking: str
    answer: str


@dataclass(frozen=True, slots=True)
class TurnFormat:
    """How a chat template makes a model write its turns (see models.chat_templates): the template's `arguments`, the
    thinking block that its prompt leaves `opened`, the `lead` that the model writes between prompt and answer, and a
    function that gives the `count` of tokens in a text (words, without a tokenizer)."""

    arguments: Mapping[str, bool] = field(default_factory=dict)
    opened: str = ""
    lead: str = ""
    count: Callable[[str], int] = lambda text: len(text.split())


def split_thinking(text: str) -> ParsedTurn:
    """The leading thinking and the answer after it. A block that is never closed was cut off: all of it is thinking and
    the answer is empty. Marks in the middle of an answer are part of the answer."""
    for opening, closing in MARKS:
        opened = text.lstrip().startswith(opening)
        thinking, closed, answer = text.partition(closing)
        if opened:
            return ParsedTurn(
                thinking.strip().removeprefix(opening).strip(), answer.strip() if closed else ""
            )
        if closed and opening not in thinking:
            return ParsedTurn(thinking.strip(), answer.strip())
    return ParsedTurn("", text.strip())


def try_split_turn(text: str, opened: str = "", lead: str = "") -> ParsedTurn | None:
    """The two parts of a turn that is more than an answer; None if it is only an answer.

    `opened` is a thinking block that the prompt has begun, `lead` the text that the template makes the model write
    between prompt and answer (models.chat_templates).
    """
    if lead and text.startswith(lead):
        return ParsedTurn("", text[len(lead) :])
    for whole in (text, opened + text):
        turn = split_thinking(whole)
        if turn.answer != whole.strip():
            return turn
    return None


def split_turn(text: str, opened: str = "", lead: str = "") -> ParsedTurn:
    """Thinking and answer; an answer without thinking is returned unchanged, whitespace included."""
    return try_split_turn(text, opened, lead) or ParsedTurn("", text)
