"""Which items a thought names without having met them.

A name counts as met if the transcript has it, or has a longer name that ends with it ("planks" after "oak_planks").
Names are also found in plain spelling ("oak planks", "sticks"). One-word names that are everyday words too ("book")
count only after a number or an article.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from steca.types import Step

_WORD = re.compile(r"[a-z0-9_]+")
_BEFORE = frozenset(("a", "an", "the", "some", "more", "another", "no", "any"))
LONGEST = 5
"""Most words of a name."""


def ungrounded(
    known: Collection[str],
    first_observation: str,
    instruction: str,
    steps: Sequence[Step],
    required_action: str,
    thought: str,
) -> list[str]:
    """The items named in a thought that occur neither in the first observation, the instruction, the observations and
    the agent's own actions nor in the required action; each once. `known`: the names of the world's items."""
    transcript = [instruction, first_observation, required_action]
    transcript += [text for step in steps for text in (step.action, step.observation)]
    met = set(_WORD.findall("\n".join(transcript).lower()))
    met |= {part for name in met for part in _endings(name)}
    return list(dict.fromkeys(name for name in _named(known, thought.lower()) if name not in met))


def _named(known: Collection[str], thought: str) -> Iterator[str]:
    """The names in a thought, the longest at each place, in the spelling of the world."""
    words = _WORD.findall(thought)
    at = 0
    while at < len(words):
        size, name = next(_names_at(known, words, at), (1, None))
        if name:
            yield name
        at += size


def _names_at(known: Collection[str], words: Sequence[str], at: int) -> Iterator[tuple[int, str]]:
    """(number of words, name) of the names that start at a word, the longest first."""
    if "_" in words[at]:
        yield 1, next((form for form in _singulars(words[at]) if form in known), words[at])
    counted = at > 0 and (words[at - 1].isdecimal() or words[at - 1] in _BEFORE)
    for size in range(min(LONGEST, len(words) - at), 0, -1):
        for form in _singulars("_".join(words[at : at + size])):
            if form in known and (size > 1 or counted):
                yield size, form


def _singulars(name: str) -> Iterator[str]:
    yield name
    if name.endswith("es"):
        yield name[:-2]
    if name.endswith("s"):
        yield name[:-1]


def _endings(name: str) -> Iterator[str]:
    """oak_wood_planks -> wood_planks, planks"""
    while "_" in name:
        name = name.partition("_")[2]
        yield name
