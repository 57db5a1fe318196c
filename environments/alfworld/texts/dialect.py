"""The two dialects of the games: "put X in/on Y" up to 2024, "move X to Y" in newer ones.

A game's grammar knows one of them, and the game answers the other with "Nothing happens.". An agent cannot see which
before it first puts a thing down. All other commands are equal.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Literal

Dialect = Literal["put", "move"]

COMMAND: dict[Dialect, str] = {"put": "put {o} in/on {r}", "move": "move {o} to {r}"}
"""The command that puts object {o} down at receptacle {r}, as in a grammar's template."""

_ANSWER: dict[Dialect, str] = {
    "put": "You put the {o.name} in/on the {r.name}.",
    "move": "You move the {o.name} to the {r.name}.",
}
_ARRIVAL = re.compile(r"You arrive at [^.]*\. ")


def dialect_of(verbs: Container[str]) -> Dialect:
    """The dialect of a game by the first words of its command templates. Newer games still use "put" for a
    portable receptacle, so only "move" distinguishes them."""
    return "move" if "move" in verbs else "put"


def in_dialect(grammar: str, dialect: Dialect) -> str:
    """A generated game's grammar (written with "put") in the given dialect."""
    text = grammar.replace(COMMAND["put"], COMMAND[dialect])
    return text.replace(_ANSWER["put"], _ANSWER[dialect])


def after_arrival(text: str) -> str:
    """The text without "You arrive at loc 5. " or, in the newer dialect, "You arrive at shelf 1. "."""
    arrival = _ARRIVAL.match(text)
    return text[arrival.end() :] if arrival else text
