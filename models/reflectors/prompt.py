"""The prompt for a reflection on a deviated step (method section 2.5). Its texts are part of request keys."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from models.policy import Message
from models.reflectors.reflector import ReflectionRequest

_TASK = """\
An agent works on a task in a world that answers in text. In each turn it writes one thought and one action, and is \
told what happened. Its last action was a mistake or did not help. Below you find everything that the agent has seen \
and done, up to that action and what it led to, and the action that it has to take next.

Write the thought that the agent should have now, between the two actions:
- in the first person, as the agent itself, in one to three sentences;
- first it notices, from what has been observed, what was wrong with or unhelpful about its last action;
- then it reasons from what has been observed to the next action, which is the way to repair the mistake;
- it mentions only things that occur below, and does not say that the action was given to it.

# Task and first observation
{first_observation}

# What the agent did
{turns}

# The last action, which did not help
{last}

# The action to take next
{action}
"""
_JSON = """
Answer with JSON: "thought" is that thought, "action" repeats the action to take next, unchanged."""
_PLAIN = """
Answer with exactly two lines and nothing else:
Thought: that thought
Action: {action}"""


class ReflectionAnswer(BaseModel):
    """The form of a structured reply."""

    model_config = ConfigDict(
        extra="forbid", title="Answer"
    )  # the title is part of the keys of stored replies
    thought: str = Field(description="The agent's thought, in the first person")
    action: str = Field(description="The action to take next, unchanged")


RESPONSE_FORMAT: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {"name": "reflection", "strict": True, "schema": ReflectionAnswer.model_json_schema()},
}


def conversation(request: ReflectionRequest, structured: bool) -> list[Message]:
    """One user message: not every chat template has a system role."""
    turns = [f"Thought: {s.thought}\nAction: {s.action}\n{s.observation}" for s in request.steps]
    text = _TASK.format(
        first_observation=request.first_observation.strip(),
        turns="\n\n".join(turns[:-1]) or "(nothing before)",
        last=turns[-1],
        action=request.required_action,
    )
    form = _JSON if structured else _PLAIN.format(action=request.required_action)
    return [{"role": "user", "content": text + form}]
