"""Checks that a thought is grounded: finds names in it that occur neither in the transcript nor in the action.

Two forms are names. A word with a number ("shelf 3", "Dining Table #1", each number of "cabinets 1, 2 and 4"): exactly
this entity must have occurred. A household type mentioned as present ("the tomato", "this drawer"): the type must have
occurred. Everything else passes, because a false alarm costs a reflection: suggestions ("maybe a drawer"), general
knowledge ("tomatoes are kept in fridges"), counts and ordinals ("2 mugs", "the third shelf"), loose words ("the sink").
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import chain

from environments.alfworld.catalog import CAN_CONTAIN, PLACES
from steca.types import Step

_SCENERY = (
    "Bathtub Blinds Boots Chair Curtains FootStool HousePlant LightSwitch Mirror Painting PaperTowelRoll Poster"
    " ScrubBrush ShowerDoor ShowerGlass Sink StoveKnob TeddyBear Television Window"
)
"""Types of the official games that occur in no task."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _parts(name: str) -> list[str]:
    """ "HandTowel" -> hand, towel"""
    return [part.lower() for part in re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z][a-z]+|[A-Z]+", name)]


_NAMES = {*CAN_CONTAIN, *PLACES, *chain.from_iterable(CAN_CONTAIN.values())}
_USED = frozenset(name.lower() for name in _NAMES)
_PARTS = {name.lower(): frozenset(_parts(name)) for name in {*_NAMES, *_SCENERY.split()}}
_LOOSE = _words(" ".join(_parts(name)[-1] for name in _NAMES if len(_parts(name)) > 1)) - _words(
    "bar can control roll stand top"
)
"""Last parts of type names, which models use for the whole ("table 2"), without words that have other meanings."""

_ENTITY = re.compile(r"([a-z]+) (\d+)\b")
_BETWEEN = re.compile(r"(?<=[a-z])[-_](?=\w)|\b(?:no\.?|number) ?(?=\d)|#")
"""What may occur within a name: "dining-table", "shelf no. 3"."""
_TOKEN = re.compile(r"[a-z]+|\d+(?:st|nd|rd|th)\b|\d+|[^\w\s]")
_STATES = _words("clean cleaned closed cold cool cooled empty heated hot open sliced")
_JOINTS = _words(", - & and or through to")
_BEFORE = _words("at beside by from in inside into near on the to with")
_NO_NAME = _words(
    "about action all and another attempt exactly first last least loc location move next of only or other over"
    " remaining step than that these those top total turn under"
)
"""Words that do not form a name with a number after them."""


def ungrounded(
    first_observation: str, instruction: str, steps: Sequence[Step], required_action: str, thought: str
) -> list[str]:
    """The names in a thought that occur neither in the first observation, the instruction, the observations and the
    agent's own actions nor in the required action; each once, in the spelling of the games ("diningtable 1")."""
    told = [instruction, first_observation, required_action]
    told += [text for step in steps for text in (step.action, step.observation)]
    transcript = "\n".join(told).lower()
    entities = set(_ENTITY.findall(transcript))
    words = _TOKEN.findall(_BETWEEN.sub(" ", thought.lower().replace("–", "-")))
    numbered = _numbered(words, {kind for kind, _ in entities} - _NO_NAME - _BEFORE)
    strange = [f"{kind} {number}" for kind, number in numbered if not _met(kind, number, entities)]
    met = _kinds(set(_TOKEN.findall(transcript)))
    strange += [kind for kind in _present(words) if kind not in met]
    return list(dict.fromkeys(strange))


def _numbered(words: Sequence[str], seen: set[str]) -> Iterator[tuple[str, str]]:
    """(type, number) of every entity named; the type may be loose ("table")."""
    for at, word in enumerate(words):
        if not word.isdecimal():
            continue
        before = _run_before(words, at)
        kind = _type_at_end(before, _PARTS.keys() | seen) or _type_at_end(before[-1:], _LOOSE)
        if kind is None:
            if _like_a_name(before, words[at + 1 : at + 2]):
                yield before[-1], word
            continue
        yield kind, word
        if not "".join(before).endswith(kind):  # "cabinets 1, 2 and 4"
            yield from ((kind, number) for number in _further(words, at + 1))


def _run_before(words: Sequence[str], at: int) -> list[str]:
    """Up to three words right before a number."""
    start = at
    while start and at - start < 3 and words[start - 1].isalpha():
        start -= 1
    return list(words[start:at])


def _further(words: Sequence[str], at: int) -> Iterator[str]:
    while at < len(words):
        end = at
        while end < len(words) and words[end] in _JOINTS:
            end += 1
        if end == at or end == len(words) or not words[end].isdecimal():
            return
        yield words[end]
        at = end + 1


def _like_a_name(before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether an unknown word with a number stands where a name does ("go to moon 1"), not a count ("the 3 steps")."""
    if len(before) < 2 or before[-1] in _NO_NAME | _BEFORE or before[-2] not in _BEFORE:
        return False
    return not (after and after[0].endswith("s") and len(after[0]) > 3)


def _present(words: Sequence[str]) -> Iterator[str]:
    """The types mentioned with "the" or "this" and without a number."""
    for at, word in enumerate(words):
        if word not in ("the", "this"):
            continue
        start = at + 1
        while start < len(words) and words[start] in _STATES:
            start += 1
        for size in (3, 2, 1):
            kind = _type_at_end(words[start : start + size], _USED, whole=True)
            if kind:
                if not _continues(words[start + size : start + size + 1]):
                    yield kind
                break


def _continues(after: Sequence[str]) -> bool:
    """Whether a type is only the first part of a longer name: "the bread knife", "the shelf 3"."""
    return any(word.isdecimal() or _type_at_end([word], _PARTS.keys() | _LOOSE) for word in after)


def _type_at_end(words: Sequence[str], types: Container[str], whole: bool = False) -> str | None:
    """The longest type that the words end with, as one or several words, singular or plural."""
    for size in (len(words),) if whole else range(len(words), 0, -1):
        found = next((form for form in _singulars("".join(words[-size:])) if form in types), None)
        if found:
            return found
    return None


def _singulars(word: str) -> Iterator[str]:
    yield word
    if word.endswith("s"):
        yield word[:-1]
        yield word.removesuffix("es")
        yield word.removesuffix("ves") + "f"
        yield word.removesuffix("ves") + "fe"


def _kinds(words: Iterable[str]) -> set[str]:
    """The types among the words of a transcript, and the parts of their names (a "handtowel" is a towel)."""
    kinds = {form for word in words for form in _singulars(word) if form in _PARTS}
    return kinds.union(*(_PARTS[kind] for kind in kinds))


def _met(kind: str, number: str, entities: set[tuple[str, str]]) -> bool:
    if (kind, number) in entities:
        return True
    return kind not in _USED and any(
        number == other and kind in _PARTS.get(name, ()) for name, other in entities
    )
