"""What one call of a language model took: the record that cost, speed and faults are read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Purpose = Literal["policy", "reflection"]


@dataclass(frozen=True, slots=True)
class Call:
    """One answered or given-up request; tries that failed before are counted in `retries`.

    `model` is what was asked for, `served_model` what the server says that it is; `server` is host and port.
    `latency` is seconds from sending to the answer of the last try, `waited` all seconds since the first one began.
    `faults` names what each failed try met, in order. `cached_tokens` are input tokens that the server had cached.
    """

    purpose: Purpose
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
