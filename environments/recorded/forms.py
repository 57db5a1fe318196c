"""The forms of recorded runs, each as exchanges: what the agent said, and what it was answered.

| form | known by | fields |
| --- | --- | --- |
| ShareGPT, as ETO and AgentTraj use it | `conversations` | a list of {"from": "human" or "gpt", "value"} |
| messages, as OpenAI's API has them | `messages` | a list of {"role", "content", "tool_calls"} |
| ATIF | `steps` | a list of {"source", "message", "tool_calls", "observation": {"results"}} |
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from configs.json_text import parse_json

ROLES: Mapping[str, str] = {"conversations": "from", "messages": "role", "steps": "source"}
"""By the field that holds the messages of a run, the field of a message that says whose it is."""
_AGENT = frozenset(("gpt", "assistant", "agent", "model", "chatgpt", "bot"))
_WORLD = frozenset(("human", "user", "tool", "function", "observation", "environment", "ipython"))


class NotARun(Exception):
    """A line that holds no run; the message says why."""


def is_agent(role: Any) -> bool:
    """Whether this is a name of the agent, in any case."""
    return isinstance(role, str) and role.lower() in _AGENT


def kind_of(value: Any) -> str:
    """What JSON calls a value, as part of a sentence: "null", "a number", "a list"."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    kinds = {str: "a text", list: "a list", dict: "an object"}
    return next((name for kind, name in kinds.items() if isinstance(value, kind)), "a number")


@dataclass(frozen=True, slots=True)
class Exchange:
    """A turn of the agent, and the observation after it (None: not recorded). `call`: the action, where the turn called
    a tool in a field of its own."""

    said: str
    answer: str | None
    call: str | None = None


def exchanges_of(row: Mapping[str, Any]) -> tuple[str | None, list[Exchange]]:
    """What the agent was told first, and the exchanges. Raises NotARun."""
    for name, read in (("conversations", _conversation), ("messages", _messages), ("steps", _atif)):
        if isinstance(row.get(name), list):
            return _paired(read(row[name]))
    raise NotARun("has none of the fields conversations (ShareGPT), messages (OpenAI) and steps (ATIF)")


@dataclass(frozen=True, slots=True)
class _Said:
    agent: bool
    text: str
    call: str | None = None


def _paired(said: Sequence[_Said]) -> tuple[str | None, list[Exchange]]:
    """Everything that the world says between two turns is one answer."""
    first: str | None = None
    exchanges: list[Exchange] = []
    for one in said:
        if one.agent:
            exchanges.append(Exchange(one.text, None, one.call))
        elif not exchanges:
            first = one.text if first is None else f"{first}\n{one.text}"
        else:
            last = exchanges[-1]
            answer = one.text if last.answer is None else f"{last.answer}\n{one.text}"
            exchanges[-1] = Exchange(last.said, answer, last.call)
    return first, exchanges


def _conversation(rows: Sequence[Any]) -> list[_Said]:
    return _by_role(rows, ROLES["conversations"], "value")


def _messages(rows: Sequence[Any]) -> list[_Said]:
    return _by_role(rows, ROLES["messages"], "content")


def _by_role(rows: Sequence[Any], role: str, content: str) -> list[_Said]:
    said = []
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or not isinstance(row.get(role), str):
            raise NotARun(f"message {number} has no {role!r}")
        who = row[role].lower()
        if who in ("system", "developer"):
            continue
        if not is_agent(who) and who not in _WORLD:
            raise NotARun(f"message {number} is by {row[role]!r}, neither the agent nor the world")
        said.append(_Said(is_agent(who), _text(row.get(content), number), _openai_call(row, number)))
    return said


def _text(content: Any, number: int) -> str:
    """A text, or the texts of a list of parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        return "".join(str(part.get("text", part.get("value", ""))) for part in content)
    raise NotARun(f"message {number}: its content is {kind_of(content)} and not text")


def _openai_call(row: Mapping[str, Any], number: int) -> str | None:
    if not (calls := _calls(row, f"message {number}")):
        return None
    try:
        function = calls[0]["function"]
        arguments = function["arguments"]
        arguments = parse_json(arguments) if isinstance(arguments, str) else arguments
        return _call(function["name"], arguments)
    except (KeyError, TypeError, ValueError):
        raise NotARun(f"message {number}: its tool call is not {{function: {{name, arguments}}}}") from None


def _calls(row: Mapping[str, Any], where: str) -> list[Any]:
    """The tool calls of a message or step: at most one."""
    calls = row.get("tool_calls") or []
    if not isinstance(calls, list):
        raise NotARun(f"{where}: its tool_calls are {kind_of(calls)} and not a list")
    if len(calls) > 1:
        raise NotARun(f"{where} has {len(calls)} tool calls; a turn has one action")
    return calls


def _call(name: str, arguments: Any) -> str:
    """A call as an action: the command of the tool `act`, else the call as JSON."""
    if name == "act" and isinstance(arguments, dict) and isinstance(arguments.get("command"), str):
        return str(arguments["command"])
    return json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)


def _atif(steps: Sequence[Any]) -> list[_Said]:
    said = []
    for number, step in enumerate(steps, start=1):
        if not isinstance(step, dict) or not isinstance(step.get("source"), str):
            raise NotARun(f"step {number} has no 'source'")
        if step["source"].lower() == "system":
            continue
        agent = is_agent(step["source"])
        said.append(_Said(agent, _text(step.get("message"), number), _atif_call(step, number)))
        said += [_Said(False, text) for text in _atif_results(step.get("observation"), number)]
    return said


def _atif_results(observation: Any, number: int) -> list[str]:
    results = (observation.get("results") or []) if isinstance(observation, dict) else observation or []
    if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
        raise NotARun(f"step {number}: its observation is not {{results: [{{content}}]}}")
    return [_text(result.get("content"), number) for result in results]


def _atif_call(step: Mapping[str, Any], number: int) -> str | None:
    if not (calls := _calls(step, f"step {number}")):
        return None
    try:
        return _call(calls[0]["function_name"], calls[0]["arguments"])
    except (KeyError, TypeError):
        raise NotARun(f"step {number}: its tool call is not {{function_name, arguments}}") from None
