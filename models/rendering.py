"""Histories as token ids, without tokenizing a conversation anew for every turn that it grows by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from models.kv import Ids
from models.policy import History

# Prefixes kept; all are forgotten when so many have come together (they are cheap to make again).
_KEPT = 8192
# A history that grew by one turn ends its known part this many end tokens before its own end.
_LOOK_BACK = 3


class HistoryEncoder:
    """Renders histories with the chat template and its generation prompt, and tokenizes what is new in them.

    A text may be tokenized in two pieces where the second starts with a special token: tokenizers cut the text
    there first, whatever they do inside the pieces.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer, self._end = tokenizer, str(tokenizer.eos_token or "")
        self._known: dict[str, list[int]] = {}

    def encode(self, histories: Sequence[History]) -> list[Ids]:
        """The ids of each history, ready for the assistant's turn."""
        if not histories:
            return []
        conversations: Any = [list(history) for history in histories]
        texts: Any = self._tokenizer.apply_chat_template(
            conversations, tokenize=False, add_generation_prompt=True
        )
        heads = [self._known_head(text) for text in texts]
        rests = [text[len(head) :] for text, head in zip(texts, heads, strict=True)]
        tails = self._tokenizer(rests, add_special_tokens=False)["input_ids"]
        ids = [self._known.get(head, []) + tail for head, tail in zip(heads, tails, strict=True)]
        self._learn(texts, ids)
        return [np.asarray(one, dtype=np.int32) for one in ids]

    def _known_head(self, text: str) -> str:
        """The longest known prefix that ends just before an end token; "" where none is known."""
        cut = len(text)
        for _ in range(_LOOK_BACK if self._end else 0):
            cut = text.rfind(self._end, 0, cut)
            if cut <= 0:
                break
            if text[:cut] in self._known:
                return text[:cut]
        return ""

    def _learn(self, texts: Sequence[str], ids: Sequence[list[int]]) -> None:
        if len(self._known) > _KEPT:
            self._known.clear()
        end = self._tokenizer.eos_token_id
        for text, one in zip(texts, ids, strict=True):
            cut = text.rfind(self._end) if self._end else -1
            if cut > 0 and end in one:
                self._known[text[:cut]] = one[: len(one) - 1 - one[::-1].index(end)]
