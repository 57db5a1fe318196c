"""What a thinking model writes before its answer, told apart from the answer.

Servers that know their model's format hand the thinking over in a field of its own. Others leave it in the text,
between two marks; where the chat template has already written the opening mark, only the closing one is there.
"""

from __future__ import annotations

from typing import NamedTuple

MARKS = (
    ("<think>", "</think>"),  # Qwen3, DeepSeek-R1 and most others
    ("<thinking>", "</thinking>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),  # Magistral
    ("<seed:think>", "</seed:think>"),
    ("<|channel|>analysis<|message|>", "<|start|>assistant<|channel|>final<|message|>"),  # gpt-oss
)
"""Opening and closing mark of each known format."""


class Written(NamedTuple):
    """A model's text in two parts, both without blanks around them."""

    thinking: str
    answer: str


def split_thinking(text: str) -> Written:
    """The leading thinking and the answer after it. A block that is never closed was cut off: then all of it is
    thinking, and the answer is empty. Marks in the middle of an answer are part of the answer."""
    for opening, closing in MARKS:
        opened = text.lstrip().startswith(opening)
        thinking, closed, answer = text.partition(closing)
        if opened:
            return Written(thinking.strip().removeprefix(opening).strip(), answer.strip() if closed else "")
        if closed and opening not in thinking:
            return Written(thinking.strip(), answer.strip())
    return Written("", text.strip())


def apart(text: str) -> Written:
    """Thinking and answer; an answer without thinking before it is left as it was written, to the last blank."""
    written = split_thinking(text)
    return Written("", text) if written.answer == text.strip() else written
