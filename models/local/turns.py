"""Turns generated tokens into a turn, with its thinking separated and counted."""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import cached_property

from transformers import PreTrainedTokenizerBase

from models.chat_templates import ChatTemplate
from models.policy import Generation
from models.thinking import try_split_turn
from steca.vocabulary import Finish


class TurnReader:
    """Reads turns that were generated after a template's prompts."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: ChatTemplate) -> None:
        self._tokenizer, self._format = tokenizer, template.format

    def read(self, tokens: list[int], stopped: bool) -> Generation:
        """`stopped`: the last token ended the turn."""
        finish: Finish = "stop" if stopped else "length"
        written = tokens[:-1] if stopped else tokens
        whole = self._decoded(written)  # thinking marks may be special tokens
        parts = try_split_turn(whole, self._format.opened, self._format.lead)
        if parts is None:
            text = str(self._tokenizer.decode(written, skip_special_tokens=True))
            return Generation(text, len(tokens), finish)
        thinking, answer = self._cleaned(parts.thinking), self._cleaned(parts.answer)
        thought = self._before(parts.answer, written, whole) if thinking else 0
        return Generation(answer, len(tokens), finish, thinking, thought)

    def _decoded(self, tokens: list[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=False))

    def _before(self, answer: str, tokens: list[int], whole: str) -> int:
        """How many tokens come before the answer."""
        start = whole.rfind(answer) if answer else len(whole)
        return bisect_left(range(len(tokens)), start, key=lambda count: len(self._decoded(tokens[:count])))

    def _cleaned(self, text: str) -> str:
        return self._special.sub("", text).strip()

    @cached_property
    def _special(self) -> re.Pattern[str]:
        known = self._tokenizer.added_tokens_decoder.values()
        tokens = sorted((str(t) for t in known if t.special), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, tokens)) or r"(?!)")
