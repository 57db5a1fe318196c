"""The prompt for a judgement of one turn, and how its replies are read. The texts are part of request keys.

The words are ours, not the paper's. The reason is asked for before the label, so that a model that does not think first
writes down why.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.asking.asker import Unusable
from models.asking.json_objects import json_objects
from models.judges.judge import JudgementRequest
from models.policy import Message
from steca.vocabulary import JudgedLabel

_TASK = """\
An agent works on a task in a world that answers in text. In each turn it writes one thought and one action, and is \
told what happened. Below you find everything that the agent has seen and done so far. Judge its last action, and \
nothing else:
- GOOD: the action helps to complete the task, or is a reasonable step towards it, such as a search in a likely place;
- BAD: the action is a mistake, has no effect, or does not help to complete the task.
Judge by what the agent could know when it acted. Whether the task can still be completed does not matter.

# Task and first observation
{first_observation}

# What the agent did
{turns}

# The last action, which you judge
{last}
"""
_JSON = """
Answer with JSON: "reason" says in one or two sentences why, "label" is GOOD or BAD."""
_PLAIN = """
Answer with exactly two lines and nothing else:
Reason: why, in one or two sentences
Label: GOOD or BAD"""
_LINE = re.compile(
    r"^[ \t>#*_`-]*(?P<name>reason|label)[ \t*_`]*:[ \t*_`]*(?P<text>.*)$", re.IGNORECASE | re.MULTILINE
)
_MARKS = " \t*_"
_LABELS: dict[str, JudgedLabel] = {"good": "good", "bad": "bad"}


class JudgementAnswer(BaseModel):
    """The form of a structured reply."""

    model_config = ConfigDict(extra="forbid", title="Judgement")
    reason: str = Field(description="Why, in one or two sentences")
    label: Literal["GOOD", "BAD"]


RESPONSE_FORMAT: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {"name": "judgement", "strict": True, "schema": JudgementAnswer.model_json_schema()},
}


@dataclass(frozen=True, slots=True)
class LabelledReply:
    """What a usable reply says."""

    label: JudgedLabel
    reason: str


def conversation(request: JudgementRequest, structured: bool) -> list[Message]:
    """One user message: not every chat template has a system role."""
    turns = [f"Thought: {s.thought}\nAction: {s.action}\n{s.observation}" for s in request.steps]
    text = _TASK.format(
        first_observation=request.first_observation.strip(),
        turns="\n\n".join(turns[:-1]) or "(nothing before)",
        last=turns[-1],
    )
    return [{"role": "user", "content": text + (_JSON if structured else _PLAIN)}]


def read_reply(text: str) -> LabelledReply | Unusable:
    """The label and the reason in a reply: the last JSON object that has both, else the labelled lines, with or without
    Markdown."""
    objects = [found for found in json_objects(text) if "label" in found and "reason" in found]
    lines = {line["name"].lower(): line["text"] for line in _LINE.finditer(text)}
    found = objects[-1] if objects else lines
    label, reason = found.get("label"), found.get("reason")
    if not (isinstance(label, str) and isinstance(reason, str)):
        return Unusable("it does not have the required form: one reason and one label")
    known = _LABELS.get(label.strip(_MARKS + "`\"'.").lower())
    if known is None:
        return Unusable(f"its label is {label.strip()!r} and neither GOOD nor BAD")
    words = " ".join(reason.strip(_MARKS).split())
    return LabelledReply(known, words) if words else Unusable("its reason is empty")
