"""How the turns of a run are written: in the configured form, or in one that other tools use.

| dialect | a turn | used by |
| --- | --- | --- |
| the forms of steca/action_formats.py | | ETO, this factory |
| words | `THOUGHT: ...`, `ACTION: ...`, in any case, on lines of their own | AgentTraj, AgentInstruct |
| tags | `<think>...</think><action>...</action>` | verl-agent, Trinity |

What is found is a thought and an action. It is written in the configured form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from environments.recorded.forms import NotARun
from environments.recorded.recording import Recording, recording_of
from steca.action_formats import FORMATS, ActionFormat, React

_THOUGHT = re.compile(r"^[ \t]*(?:\*\*)?Thought(?: \d+)?:(?:\*\*)?", re.MULTILINE | re.IGNORECASE)
_ACTION = re.compile(
    r"^[ \t]*(?:\*\*)?Act(?:ion)?(?: \d+)?:(?:\*\*)?\s*(?P<action>\S[^\n]*)$", re.MULTILINE | re.IGNORECASE
)
_OPEN, _CLOSE = "<action>", "</action>"
_THINK = re.compile(r"</?think(?:ing)?>")
_LISTED = re.compile(r"\n?AVAILABLE ACTIONS:.*\Z", re.DOTALL)
"""What AgentGym writes after an observation of ALFWorld."""


@dataclass(frozen=True)
class Words(React):
    def parse(self, text: str) -> tuple[str, str] | None:
        text = text.replace("\r\n", "\n")
        found = _ACTION.search(text)
        if not found:
            return None
        thought = _THOUGHT.search(text, 0, found.start())
        said = text[thought.end() : found.start()] if thought else ""
        return " ".join(said.split()), found["action"].strip()


@dataclass(frozen=True)
class Tags(React):
    def parse(self, text: str) -> tuple[str, str] | None:
        start = text.find(_OPEN)
        end = text.find(_CLOSE, start)
        action = text[start + len(_OPEN) : end].strip() if 0 <= start < end else ""
        return (" ".join(_THINK.sub(" ", text[:start]).split()), action) if action else None


def recording_in(row: Mapping[str, Any], number: int, form: ActionFormat) -> tuple[str, Recording]:
    """The id in a row, and its run as it reads in the first dialect that has an action in every turn. Raises NotARun,
    with what the configured form says, if none has."""
    problem: NotARun | None = None
    for dialect in _dialects(form):
        try:
            identity, run = recording_of(row, number, dialect)
        except NotARun as found:
            problem = problem or found
            continue
        refuse_unwritable(run, form)
        return identity, replace(
            run,
            answers=tuple(answer and _LISTED.sub("", answer) for answer in run.answers),
            first_observation=run.first_observation and _LISTED.sub("", run.first_observation),
        )
    assert problem, "every dialect had one"
    raise problem


def _dialects(form: ActionFormat) -> Sequence[ActionFormat]:
    """The configured form first; but `text` reads everything, so it comes last."""
    others = [FORMATS["react"], Words(), Tags(), FORMATS["tool_call"], FORMATS["code"]]
    if form is FORMATS["text"]:
        return [*others, form]
    return [form, *(other for other in others if other is not form)]


def refuse_unwritable(run: Recording, form: ActionFormat) -> None:
    """Raises NotARun for a turn that the configured form would change, and for text that no file can hold."""
    for number, turn in enumerate(run.turns, start=1):
        both = turn.thought + turn.action
        if "\0" in both:
            raise NotARun(f"turn {number} has a NUL character")
        if any("\ud800" <= letter <= "\udfff" for letter in both):
            raise NotARun(f"turn {number} has half a character (a lone surrogate)")
        read = form.parse(form.text(turn))
        if read is None or read[1] != turn.action:
            raise NotARun(
                f"turn {number}: its action, {turn.action[:60]!r}, cannot be written in the configured form of a turn "
                f"({form.hint}): set environment.action_format"
            )
