"""The two dialects of the games: up to 2024 one says "put X in/on Y", in newer ones "move X to Y".

A game knows one of them and answers the other one's command with "Nothing happens.": its grammar decides, and nothing
that an agent sees before it has put a first thing down. All other commands read alike.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Literal

Dialect = Literal["put", "move"]

COMMAND: dict[Dialect, str] = {"put": "put {o} in/on {r}", "move": "move {o} to {r}"}
"""How putting an object {o} down at a receptacle {r} is written, as in a grammar's template."""

_ANSWER: dict[Dialect, str] = {
    "put": "You put the {o.name} in/on the {r.name}.",
    "move": "You move the {o.name} to the {r.name}.",
}


def dialect_of(verbs: Container[str]) -> Dialect:
    """The dialect of a game by the first words of its command templates. Newer games still say "put" where a thing
    goes into one that can be carried, so only "move" tells them apart."""
    return "move" if "move" in verbs else "put"


def in_dialect(grammar: str, dialect: Dialect) -> str:
    """A generated game's grammar, which says "put", in either dialect."""
    told = grammar.replace(COMMAND["put"], COMMAND[dialect])
    return told.replace(_ANSWER["put"], _ANSWER[dialect])
