"""A model's chat template as this project uses it: in generation and in training with the same arguments.

Templates differ in what they do beside writing messages down. Some know a switch for thinking, some open the block of
thinking themselves, some write a header before an answer, some leave the thinking of earlier turns out or put an end
token behind the last message only. Nothing of that is looked up by a model's name: it is read off what the template
writes for conversations in which a turn is a stand-in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import Any

from transformers import PreTrainedTokenizerBase

from models.policy import History, Message, PolicyFault
from models.thinking import MARKS, TurnFormat

SWITCHES = ("enable_thinking", "thinking")
"""Arguments by which templates are told whether the model is to think."""
_STAND_IN = "Thought: so.\nAction: look."
_ASKED: Message = {"role": "user", "content": "Visit shelf 1."}
_SAID: Message = {"role": "assistant", "content": _STAND_IN}


@dataclass(frozen=True, slots=True)
class TemplatedTurn:
    """What a model has to write after its prompt: `lead` (an answer's header, the end of a block of thinking that the
    prompt has opened; mostly nothing), the turn's text as the template keeps it, and the tokens that end it."""

    lead: str
    text: str
    end: str


class ChatTemplate:
    """The template of a tokenizer, told whether the model is to think."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, thinking: bool = False) -> None:
        self._tokenizer, self._thinking = tokenizer, thinking

    @cached_property
    def arguments(self) -> dict[str, bool]:
        """What the template is given beside the messages: those of SWITCHES that make a difference to it."""

        def written(name: str, value: bool) -> str:
            return self._rendered([_ASKED, _SAID, _ASKED], True, {name: value})

        return {name: self._thinking for name in SWITCHES if written(name, True) != written(name, False)}

    def prompt(self, history: History) -> str:
        """What the model sees before its turn."""
        return self._rendered(history, True, self.arguments)

    def prompts(self, histories: Sequence[History]) -> list[str]:
        return self._rendered([list(history) for history in histories], True, self.arguments)

    def conversation(self, messages: History) -> str:
        return self._rendered(messages, False, self.arguments)

    @cached_property
    def opened(self) -> str:
        """The block of thinking that a prompt leaves open, from its opening mark on; "" where it opens none."""
        tail = self.prompt([{**_ASKED, "content": _STAND_IN}]).rpartition(_STAND_IN)[2]
        for opening, closing in MARKS:
            at = tail.rfind(opening)
            if at >= 0 and closing not in tail[at:]:
                return tail[at:]
        return ""

    @cached_property
    def format(self) -> TurnFormat:
        def count(text: str) -> int:
            return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])

        lead = self.usual.lead
        return TurnFormat(self.arguments, self.opened, lead if lead.strip() else "", count)

    @cached_property
    def usual(self) -> TemplatedTurn:
        """A turn that answers the first message; its text is a stand-in."""
        return self.turn([_ASKED, _SAID])

    def turn(self, messages: History) -> TemplatedTurn:
        """The last message, an assistant's, as the model has to write it after `prompt(messages[:-1])`. Raises
        PolicyFault where the template alters the text or nothing ends it."""
        before = messages[:-1]
        head, tail = self._around(before, [])
        prompt, text = self.prompt(before), messages[-1]["content"]
        whole = self.conversation(messages)
        kept = next((t for t in (text, text.strip()) if head + t + tail == whole), None)
        if kept is None:
            raise PolicyFault("the chat template does not write a turn down as the policy wrote it")
        lead = head[len(prompt) :] if head.startswith(prompt) else self._closing()
        return TemplatedTurn(lead, kept, self._end(tail, self._around(before, [_ASKED])[1]))

    def _around(self, before: History, after: History) -> tuple[str, str]:
        """What a conversation holds before and after a turn. Raises PolicyFault where it does not hold the turn."""
        whole = self.conversation([*before, _SAID, *after])
        head, found, tail = whole.rpartition(_STAND_IN)
        if not found:
            raise PolicyFault("the chat template does not write the assistant's turns down")
        return head, tail

    def _closing(self) -> str:
        """What ends the block of thinking that the prompt has opened."""
        closing = next((c for o, c in MARKS if self.opened.startswith(o)), None)
        return f"\n{closing}\n\n" if closing else ""

    def _end(self, last: str, followed: str) -> str:
        """The tokens that end a turn: those that stand after it whether it is the last message or not; else the first
        one after the last message, the first one of the next message, or the tokenizer's end token."""
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(last, followed, strict=False)))
        common = list(self._special.finditer(last[:same]))
        if common:
            return last[: common[-1].end()]
        for tail in (last, followed.partition(_ASKED["content"])[0]):
            if found := self._special.search(tail):
                return tail[: found.end()]
        if not self._tokenizer.eos_token:
            raise PolicyFault(
                "nothing ends a turn: neither the chat template nor the tokenizer has an end token"
            )
        return str(self._tokenizer.eos_token)

    @cached_property
    def _special(self) -> re.Pattern[str]:
        tokens = {str(token) for token in self._tokenizer.added_tokens_decoder.values()}
        longest_first = sorted(tokens, key=lambda token: (-len(token), token))
        return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def _rendered(self, messages: Any, prompt: bool, arguments: dict[str, Any]) -> Any:
        return self._tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=prompt, **arguments
        )
