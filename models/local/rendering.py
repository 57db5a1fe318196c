"""Encodes histories as token ids, without tokenizing the whole conversation again for each new turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from models.chat_templates import ChatTemplate
from models.local.kv import Ids
from models.local.tokenizer import CHAT_TEMPLATE, END, ROLES
from models.policy import History

# The cache of tokenized texts is cleared when it has more entries (they are cheap to recompute).
_MAX_CACHED = 16384
# How many end tokens back from its end a longer history is searched for a known prefix.
_LOOK_BACK = 3


class HistoryEncoder:
    """The ids of histories under the tokenizer's chat template (with thinking on or off), ready for the assistant's
    turn.

    The small policy's template is a chain of messages, each between two special tokens, so each message is tokenized
    separately, once. Other templates may change earlier messages: there whole histories are rendered, and only the
    new text is tokenized.

    A text may be tokenized in pieces if each starts with a special token: tokenizers split texts there first.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, thinking: bool = False) -> None:
        self.template = ChatTemplate(tokenizer, thinking)
        self._tokenizer, self._end = tokenizer, str(tokenizer.eos_token or "")
        self._heads: dict[str, Ids] = {}
        self._messages: dict[tuple[str, str], Ids] = {}
        special = set(tokenizer.all_special_tokens)
        self._is_chain = tokenizer.chat_template == CHAT_TEMPLATE and special.issuperset([END, *ROLES])

    def encode(self, histories: Sequence[History]) -> list[Ids]:
        """The ids of each history."""
        if not histories:
            return []
        if len(self._heads) + len(self._messages) > _MAX_CACHED:
            self._heads.clear()
            self._messages.clear()
        return self._encode_messages(histories) if self._is_chain else self._encode_texts(histories)

    def _encode_messages(self, histories: Sequence[History]) -> list[Ids]:
        named = [[(m["role"], m["content"]) for m in history] for history in histories]
        known = self._messages
        new = list({message for history in named for message in history if message not in known})
        if new:
            texts = [f"<|{role}|>{content}{END}" for role, content in new]
            known.update(zip(new, self._tokenized(texts), strict=True))
        opening, prompt = self._tokenized([str(self._tokenizer.bos_token or ""), ROLES[-1]])
        return [np.concatenate([opening, *(known[m] for m in history), prompt]) for history in named]

    def _encode_texts(self, histories: Sequence[History]) -> list[Ids]:
        texts = self.template.prompts(histories)
        heads = [self._known_head(text) for text in texts]
        tails = self._tokenized([text[len(head) :] for text, head in zip(texts, heads, strict=True)])
        none = np.empty(0, dtype=np.int32)
        ids = [np.concatenate([self._heads.get(h, none), t]) for h, t in zip(heads, tails, strict=True)]
        self._learn_heads(texts, ids)
        return ids

    def _tokenized(self, texts: list[str]) -> list[Ids]:
        ids: Any = self._tokenizer(texts, add_special_tokens=False)["input_ids"]
        return [np.asarray(one, dtype=np.int32) for one in ids]

    def _known_head(self, text: str) -> str:
        """The longest known prefix that ends just before an end token; "" if there is none."""
        cut = len(text)
        for _ in range(_LOOK_BACK if self._end else 0):
            cut = text.rfind(self._end, 0, cut)
            if cut <= 0:
                break
            if text[:cut] in self._heads:
                return text[:cut]
        return ""

    def _learn_heads(self, texts: Sequence[str], ids: Sequence[Ids]) -> None:
        for text, one in zip(texts, ids, strict=True):
            cut = text.rfind(self._end) if self._end else -1
            ends = np.flatnonzero(one == self._tokenizer.eos_token_id)
            if cut > 0 and len(ends):
                self._heads[text[:cut]] = one[: ends[-1]]
