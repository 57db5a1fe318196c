"""What a world says that does not say it itself: reflections, a check of names, a sentence about a missing action."""

from __future__ import annotations

import re
from collections.abc import Sequence

from steca.types import Step

_LONGEST = 160
_NUMBERED = re.compile(r"\b([a-z]+)[ #](\d+)\b")
_CODED = re.compile(r"\b(?:[a-z]+_\w+|(?=\w*[a-z])(?=\w*\d)\w+)\b")
_WORD = re.compile(r"\w+")
_QUOTED = re.compile(r"\"([^\"\n]{1,60})\"|(?<!\w)'([^'\n]{1,60})'(?!\w)")


def reflect(instruction: str, first_observation: str, steps: Sequence[Step], required_action: str) -> str:
    """A thought after a deviated last step: what it was, what the world answered, what is done now."""
    last = steps[-1]
    answer = " ".join(last.observation.split())
    if len(answer) > _LONGEST:
        answer = f"{answer[:_LONGEST].rsplit(' ', 1)[0]} ..."
    did = f"I did {last.action!r}" if last.action else "My last turn named no action"
    verdict = "That had no effect" if not last.valid else "That does not bring me nearer to the goal"
    return f"{did} and was told: {answer} {verdict}, so now I do {required_action!r}."


def ungrounded(
    first_observation: str, instruction: str, steps: Sequence[Step], required_action: str, thought: str
) -> list[str]:
    """What a thought names that occurs neither in the transcript nor in the required action: another number of a thing
    that has numbers there ("room 9" where there was a room 3), a word with a digit or an underscore ("key_2"), and
    quotations. Everything else passes, because a false alarm costs a reflection."""
    told = [instruction, first_observation, required_action]
    told += [text for step in steps for text in (step.action, step.observation)]
    transcript = "\n".join(told).lower()
    kinds = {kind for kind, _ in _NUMBERED.findall(transcript)}
    said = thought.lower()
    named = [f"{kind} {number}" for kind, number in _NUMBERED.findall(said) if kind in kinds]
    named += [*_CODED.findall(said), *(one or other for one, other in _QUOTED.findall(said))]
    words = _words(transcript)
    return list(dict.fromkeys(name for name in named if _words(name) not in words))


def _words(text: str) -> str:
    """The words of a text, with one space before and after each."""
    return f" {' '.join(_WORD.findall(text))} "
