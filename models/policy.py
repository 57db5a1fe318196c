"""The policy protocol: histories in, turns out; batched, with seeds and sampling explicit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypedDict

from steca.vocabulary import Finish

_MAX_CHARACTERS = 200


class PolicyFault(Exception):
    """A policy that cannot be loaded or cannot answer. The message names the checkpoint and says what to do."""


def describe_error(error: Exception) -> str:
    """Class and message of another library's error, on one line of limited length."""
    message = " ".join(str(error).split()) or "no reason given"
    return f"{type(error).__name__}: {message[:_MAX_CHARACTERS]}{'...' if len(message) > _MAX_CHARACTERS else ''}"


class Message(TypedDict):
    """One chat message. The world speaks as `user`, the agent as `assistant`."""

    role: Literal["system", "user", "assistant"]
    content: str


History = Sequence[Message]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample a turn. Temperature 0 is greedy (seeds do not matter); max_tokens limits one turn; `stop` are texts
    that end it and are not part of it (policies behind a server only). `thinking`: the model may think first;
    max_tokens then includes the thinking."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 48
    stop: tuple[str, ...] = ()
    thinking: bool = False


@dataclass(frozen=True, slots=True)
class Generation:
    """One generated turn. `finish` is "length" where max_tokens or the context ended it. `thinking` is what the model
    wrote first and not part of `text`; `tokens` includes its tokens. If the thinking was cut off, `text` is empty."""

    text: str
    tokens: int
    finish: Finish
    thinking: str = ""
    thinking_tokens: int = 0


class Policy(Protocol):
    @property
    def digest(self) -> str:
        """SHA-256 over the checkpoint's files; every row that this policy produced refers to it."""
        ...

    def act(self, histories: Sequence[History], seeds: Sequence[int], sampling: Sampling) -> list[Generation]:
        """The next turn for each history (each ends with a user message). Result i depends only on (histories[i],
        seeds[i], sampling), not on the rest of the batch. Raises PolicyFault."""
        ...


def check_seeds(histories: Sequence[History], seeds: Sequence[int]) -> None:
    """Raises PolicyFault unless there is one seed per history."""
    if len(histories) != len(seeds):
        raise PolicyFault(f"{len(histories)} histories but {len(seeds)} seeds: give one seed per history")
