"""The policy protocol: histories in, turns out; batched, with seeds and sampling explicit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypedDict

from steca.vocabulary import Finish

_LONGEST = 200


class PolicyFault(Exception):
    """A policy that cannot be loaded or cannot answer. The message names the checkpoint and what to do."""


def described(error: Exception) -> str:
    """The class and the words of another library's error, in one line that is not too long."""
    said = " ".join(str(error).split()) or "no reason given"
    return f"{type(error).__name__}: {said[:_LONGEST]}{'...' if len(said) > _LONGEST else ''}"


class Message(TypedDict):
    """One chat message. The world speaks as `user`, the agent as `assistant`."""

    role: Literal["system", "user", "assistant"]
    content: str


History = Sequence[Message]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a turn is drawn. temperature 0 is greedy (seeds then do not matter); max_tokens counts one turn; `stop` are
    texts that end it and are not part of it (for policies behind a server). `thinking`: the model may think before it;
    max_tokens then counts that too."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 48
    stop: tuple[str, ...] = ()
    thinking: bool = False


@dataclass(frozen=True, slots=True)
class Generation:
    """One written turn. `finish` is "length" where max_tokens or the context ended it. `thinking` is what the model
    wrote before it and is no part of `text`; its tokens are part of `tokens`. Where it was cut off, `text` is empty."""

    text: str
    tokens: int
    finish: Finish
    thinking: str = ""
    thinking_tokens: int = 0


class Policy(Protocol):
    @property
    def digest(self) -> str:
        """SHA-256 over the checkpoint's files: what every row that this policy produced refers to."""
        ...

    def act(self, histories: Sequence[History], seeds: Sequence[int], sampling: Sampling) -> list[Generation]:
        """The next turn for each history (each ends with a user message). Result i depends on (histories[i],
        seeds[i], sampling) alone, not on what shares the batch. Raises PolicyFault."""
        ...


def check_seeds(histories: Sequence[History], seeds: Sequence[int]) -> None:
    """Raises PolicyFault where a policy was not given one seed a history."""
    if len(histories) != len(seeds):
        raise PolicyFault(f"{len(histories)} histories but {len(seeds)} seeds: give one seed a history")
