"""Calls of language models: what was answered, what it took, and the call log that both are written in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from steca.vocabulary import CallPurpose, Finish


@dataclass(frozen=True, slots=True)
class Call:
    """One answered or given-up request; tries that failed before are counted in `retries`.

    `model` is what was asked for, `served_model` what the server says that it is; `server` is host and port.
    `latency` is seconds from sending to the answer of the last try, `waited` all seconds since the first one began.
    `faults` names what each failed try met, in order. `cached_tokens` are input tokens that the server had cached.
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
    "length" where max_tokens or the context ended it. `refusal`: the model's words where it declined to answer."""

    text: str
    tokens: int
    finish: Finish
    thinking: str = ""
    refusal: str = ""


class CallLog(Protocol):
    """Keeps replies by the content of their request, and every call. Called from one thread at a time."""

    def find(self, key: str) -> Reply | None: ...

    def keep(self, key: str, reply: Reply, call: Call) -> None: ...

    def failed(self, key: str, call: Call) -> None: ...
