"""What a thinking model writes before its answer, told apart from the answer.

Servers that know their model's format hand the thinking over in a field of its own. Others leave it in the text,
between two marks; where the chat template has already written the opening mark, only the closing one is there.
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
    """A model's text in two parts, both without blanks around them."""

    thinking: str
    answer: str


@dataclass(frozen=True, slots=True)
class TurnFormat:
    """How a chat template has a model write its turns (models.chat_templates reads it off): the `arguments` that it is
    given, the block of thinking that its prompt leaves `opened`, what the model writes as `lead` between prompt and
    answer, and the `count` of tokens in a text (words, where no tokenizer is known)."""

    arguments: Mapping[str, bool] = field(default_factory=dict)
    opened: str = ""
    lead: str = ""
    count: Callable[[str], int] = lambda text: len(text.split())


def split_thinking(text: str) -> ParsedTurn:
    """The leading thinking and the answer after it. A block that is never closed was cut off: then all of it is
    thinking, and the answer is empty. Marks in the middle of an answer are part of the answer."""
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


def parted(text: str, opened: str = "", lead: str = "") -> ParsedTurn | None:
    """A turn in two parts, where it is more than an answer; else None: then it stands as it was written.

    `opened` is a block of thinking that the prompt has begun, `lead` what the template has the model write between its
    prompt and an answer (models.chat_templates).
    """
    if lead and text.startswith(lead):
        return ParsedTurn("", text[len(lead) :])
    for whole in (text, opened + text):
        written = split_thinking(whole)
        if written.answer != whole.strip():
            return written
    return None


def apart(text: str, opened: str = "", lead: str = "") -> ParsedTurn:
    """Thinking and answer; an answer without thinking before it is left as it was written, to the last blank."""
    return parted(text, opened, lead) or ParsedTurn("", text)
