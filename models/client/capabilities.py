"""What is known about one server: the request features that it supports or not, and the longest prompt it answered."""

from __future__ import annotations

import asyncio
import math
import re
import time

from models.client.chat_request import LIMIT_NAMES, ChatRequest, features
from models.client.errors import RequestError
from steca.vocabulary import CallPurpose

_NUMBER = re.compile(r"\d[\d,]*")
_TOKENS_PER_CHARACTER = 0.25
"""Assumed until the server has counted some."""


class Capabilities:
    """Of one server, for one purpose, kept for the life of the process."""

    def __init__(self) -> None:
        self.unsupported: frozenset[str] = frozenset()
        """Features that the server was shown to refuse."""
        self.supported: frozenset[str] = frozenset()
        """Features of requests that it has answered."""
        self.last_refusal = ""
        """The server's words in the last refusal that revealed an unsupported feature."""
        self.diagnosis_lock = asyncio.Lock()
        self.answered_at = self.refused_all_at = -math.inf
        """When it last answered, and when it last refused every probe (time.monotonic)."""
        self._longest = self._characters = self._tokens = 0

    def missing(self, request: ChatRequest, purpose: CallPurpose) -> frozenset[str]:
        """Unsupported features that the purpose cannot do without. A policy needs all but the name of its token limit:
        every other feature decides which turns it samples."""
        wanted = features(request.fields()) - set(LIMIT_NAMES)
        return wanted & self.unsupported if purpose == "policy" else frozenset()

    def record_answer(self, features: frozenset[str], characters: int, tokens: int) -> None:
        """The server has answered a request with these features and a prompt of this size."""
        self.record_supported(features)
        self._longest = max(self._longest, characters)
        self._characters, self._tokens = self._characters + characters, self._tokens + tokens

    def record_supported(self, features: frozenset[str]) -> None:
        self.supported |= features
        self.answered_at = time.monotonic()

    def is_too_long(self, request: ChatRequest, error: RequestError) -> bool:
        """Whether the refusal of this one request was about its length: by its status, because no longer prompt was
        answered, or because the error body names the prompt's tokens and a smaller limit."""
        length = characters_of(request)
        if error.status == 413 or 0 < self._longest < length:
            return True
        rate = self._tokens / self._characters if self._tokens else _TOKENS_PER_CHARACTER
        numbers = [int(number.replace(",", "")) for number in _NUMBER.findall(error.body)]
        prompt_sizes = [
            number
            for number in numbers
            if any(
                length * rate / 2 <= count <= length * rate * 2
                for count in (number, number - request.max_tokens)
            )
        ]
        return any(size / 20 < limit < size for size in prompt_sizes for limit in numbers)


def characters_of(request: ChatRequest) -> int:
    return sum(len(message["content"]) for message in request.messages)
