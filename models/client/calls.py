"""Calls of language models: replies, their cost, and the call log that records both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from steca.vocabulary import CallPurpose, Finish


@dataclass(frozen=True, slots=True)
class Call:
    """One request that was answered or given up; `retries` counts the failed attempts before the last.

    `model` is the requested model, `served_model` the one that the server names; `server` is host and port.
    `latency` is seconds from sending to the answer of the last attempt, `waited` all seconds since the first began.
    `faults` has the error kind of each failed attempt, in order. `cached_tokens` are input tokens that the server had
    cached.
    """

    purpose: CallPurpose
    model: str
    served_model: str
    server: str
    started_at: str
    latency: float
    waited: float
    retries: int
    faults: tuple[str, ...]
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    finish: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model wrote. `text` is the answer, `thinking` what came before it; `tokens` counts both. `finish` is
    "length" where max_tokens or the context ended it. `refusal`: the model's words if it declined to answer."""

    text: str
    tokens: int
    finish: Finish
    thinking: str = ""
    refusal: str = ""


class CallLog(Protocol):
    """Stores replies by the content of their request, and every call. `blocking`: `keep` waits for a disk, so it is
    called in threads, several at a time; everything else is called from one thread."""

    @property
    def blocking(self) -> bool: ...

    def find(self, key: str) -> Reply | None: ...

    def keep(self, key: str, reply: Reply, call: Call) -> None: ...

    def failed(self, key: str, call: Call) -> None: ...
