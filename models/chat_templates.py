"""A model's chat template, used with the same arguments in generation and in training.

Templates do more than render messages. Some have a switch for thinking, some open the thinking block themselves, some
write a header before an answer, some drop the thinking of earlier turns or put an end token after the last message
only. None of this is looked up by model name: it is inferred from how the template renders conversations with a
placeholder turn.
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

THINKING_SWITCHES = ("enable_thinking", "thinking")
"""Template arguments that turn thinking on or off."""
_PLACEHOLDER = "Thought: so.\nAction: look."
_USER: Message = {"role": "user", "content": "Visit shelf 1."}
_ASSISTANT: Message = {"role": "assistant", "content": _PLACEHOLDER}


@dataclass(frozen=True, slots=True)
class TemplatedTurn:
    """What a model has to write after its prompt: `lead` (an answer's header or the end of a thinking block that the
    prompt has opened; usually empty), the turn's text as the template renders it, and the tokens that end it."""

    lead: str
    text: str
    end: str


class ChatTemplate:
    """The template of a tokenizer, with thinking on or off."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, thinking: bool = False) -> None:
        self._tokenizer, self._thinking = tokenizer, thinking

    @cached_property
    def arguments(self) -> dict[str, bool]:
        """The template's extra arguments: those of THINKING_SWITCHES that change what it renders."""

        def rendered(name: str, value: bool) -> str:
            return self._rendered([_USER, _ASSISTANT, _USER], True, {name: value})

        return {
            name: self._thinking
            for name in THINKING_SWITCHES
            if rendered(name, True) != rendered(name, False)
        }

    def prompt(self, history: History) -> str:
        """The text that the model sees before its turn."""
        return self._rendered(history, True, self.arguments)

    def prompts(self, histories: Sequence[History]) -> list[str]:
        return self._rendered([list(history) for history in histories], True, self.arguments)

    def conversation(self, messages: History) -> str:
        return self._rendered(messages, False, self.arguments)

    @cached_property
    def opened(self) -> str:
        """The thinking block that a prompt leaves open, from its opening mark on; "" if it opens none."""
        tail = self.prompt([{**_USER, "content": _PLACEHOLDER}]).rpartition(_PLACEHOLDER)[2]
        for opening, closing in MARKS:
            at = tail.rfind(opening)
            if at >= 0 and closing not in tail[at:]:
                return tail[at:]
        return ""

    @cached_property
    def format(self) -> TurnFormat:
        def count(text: str) -> int:
            return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])

        lead = self.placeholder_turn.lead
        return TurnFormat(self.arguments, self.opened, lead if lead.strip() else "", count)

    @cached_property
    def placeholder_turn(self) -> TemplatedTurn:
        """A placeholder turn that answers the first message."""
        return self.turn([_USER, _ASSISTANT])

    def turn(self, messages: History) -> TemplatedTurn:
        """The last message, an assistant's, as the model has to write it after `prompt(messages[:-1])`. Raises
        PolicyFault if the template changes the text or nothing ends the turn."""
        before = messages[:-1]
        head, tail = self._around(before, [])
        prompt, text = self.prompt(before), messages[-1]["content"]
        whole = self.conversation(messages)
        kept = next((t for t in (text, text.strip()) if head + t + tail == whole), None)
        if kept is None:
            raise PolicyFault("the chat template does not render a turn as the policy wrote it")
        lead = head[len(prompt) :] if head.startswith(prompt) else self._closing()
        return TemplatedTurn(lead, kept, self._end(tail, self._around(before, [_USER])[1]))

    def _around(self, before: History, after: History) -> tuple[str, str]:
        """The text of a conversation before and after a turn. Raises PolicyFault if the turn is not rendered."""
        whole = self.conversation([*before, _ASSISTANT, *after])
        head, found, tail = whole.rpartition(_PLACEHOLDER)
        if not found:
            raise PolicyFault("the chat template does not render the assistant's turns")
        return head, tail

    def _closing(self) -> str:
        """What ends the thinking block that the prompt has opened."""
        closing = next((c for o, c in MARKS if self.opened.startswith(o)), None)
        return f"\n{closing}\n\n" if closing else ""

    def _end(self, last: str, followed: str) -> str:
        """The tokens that end a turn: those that follow it whether or not it is the last message; else the first
        special token after the last message or of the next message, or the tokenizer's end token."""
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(last, followed, strict=False)))
        common = list(self._special.finditer(last[:same]))
        if common:
            return last[: common[-1].end()]
        for tail in (last, followed.partition(_USER["content"])[0]):
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
