"""What one server has shown of itself: the features of requests that it takes or refuses, and the sizes of prompts that
it has answered."""

from __future__ import annotations

import asyncio
import math
import re
import time

from models.client.chat_request import SIBLING, ChatRequest, features
from steca.vocabulary import CallPurpose

_NUMBER = re.compile(r"\d[\d,]*")
_TOKENS_A_CHARACTER = 0.25
"""Until a server has counted some."""


class Capabilities:
    """For one server and one purpose, as long as the process lives."""

    def __init__(self) -> None:
        self.refused: frozenset[str] = frozenset()
        """Features that it was shown not to take."""
        self.taken: frozenset[str] = frozenset()
        """Features of requests that it has answered."""
        self.words = ""
        """Of the last refusal that something was learned from."""
        self.finding_out = asyncio.Lock()
        self.answered_at = self.failed_at = -math.inf
        """When it last answered, and when it last refused everything that was tried (time.monotonic)."""
        self._longest = self._characters = self._tokens = 0

    def lacks(self, request: ChatRequest, purpose: CallPurpose) -> frozenset[str]:
        """Features that it refuses and the purpose cannot do without: all but the name of its limit decide which turns
        a policy draws, so none is left out there."""
        asked = features(request.fields()) - set(SIBLING)
        return asked & self.refused if purpose == "policy" else frozenset()

    def answered(self, asked: frozenset[str], characters: int, tokens: int) -> None:
        """It took these features, and a prompt of so many characters."""
        self.accepted(asked)
        self._longest = max(self._longest, characters)
        self._characters, self._tokens = self._characters + characters, self._tokens + tokens

    def accepted(self, asked: frozenset[str]) -> None:
        """It took these features."""
        self.taken |= asked
        self.answered_at = time.monotonic()

    def too_long(self, request: ChatRequest, status: int, told: str) -> bool:
        """Whether a refusal of this one request was about its length: by its status, because nothing so long has been
        answered, or because it names the prompt's tokens and a smaller limit."""
        length = characters_of(request)
        if status == 413 or 0 < self._longest < length:
            return True
        rate = self._tokens / self._characters if self._tokens else _TOKENS_A_CHARACTER
        numbers = [int(number.replace(",", "")) for number in _NUMBER.findall(told)]
        prompt = [
            number
            for number in numbers
            if any(
                length * rate / 2 <= count <= length * rate * 2
                for count in (number, number - request.max_tokens)
            )
        ]
        return any(most / 20 < limit < most for most in prompt for limit in numbers)


def characters_of(request: ChatRequest) -> int:
    return sum(len(message["content"]) for message in request.messages)
