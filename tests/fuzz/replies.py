"""What language models and their servers answer: bodies of answers, drafts of reflections, judgements, actions."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from models.client.answers import read_answer
from models.client.error_bodies import error_in, message_in, status_in
from models.client.errors import RequestError, error_of_status
from models.judges.prompt import read_reply
from models.reflectors.drafts import parse_draft
from models.thinking import split_thinking, split_turn, try_split_turn
from steca.action_formats import FORMATS
from steca.turns import parse_turn
from tests.fuzz.inputs import TEXTS, changed, damaged, values
from tests.fuzz.trying import Kind

BODY = {
    "id": "x", "model": "m", "object": "chat.completion",
    "choices": [{
        "index": 0, "finish_reason": "stop",
        "message": {"role": "assistant", "content": "<think>a</think>Thought: b\nAction: c", "reasoning": None,
                    "refusal": None},
    }],
    "usage": {"completion_tokens": 3, "prompt_tokens": 4, "prompt_tokens_details": {"cached_tokens": 1}},
}  # fmt: skip
PARTS = [{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}, {"type": "text", "text": "b"}]
IN_PARTS = {**BODY, "choices": [{"message": {"content": PARTS}}]}
ERROR = {"error": {"message": "no", "type": "t", "code": 429, "param": None}}
SAID = [
    "Thought: I look.\nAction: look",
    '```json\n{"thought": "I look.", "action": "look"}\n```',
    '{"reason": "It helps.", "label": "GOOD"}',
    "**Reason:** It helps.\n**Label:** BAD",
    "<think>so</think>\nThought: x\nAction: go to a 1",
    '<tool_call>\n{"name": "act", "arguments": {"command": "look"}}\n</tool_call>',
    "I do it.\n```python\nact('look')\n```",
    "THOUGHT: a\nACTION: b",
]
MARKS = [
    "<think>",
    "</think>",
    "```",
    "Thought:",
    "Action:",
    "<tool_call>",
    "</tool_call>",
    "{",
    "}",
    '"action":',
]
REPEATED = [
    "<think>",
    "```\n",
    "{",
    '{"a":',
    "*",
    " ",
    "\n",
    "Action: ",
    "Thought: a\n",
    "<action>",
    "Label: ",
]
PIECES = TEXTS | st.sampled_from([*MARKS, "\\u", *(piece * 2000 for piece in REPEATED)])


def use_body(body: Any) -> None:
    for strict in (True, False):
        read_answer(body, "m", strict, "sk-secret", "<think>", "")


def use_text_body(body: str) -> None:
    read_answer(body, "m", False)


def use_error(made: tuple[int, Any]) -> None:
    status, body = made
    error_in(body), status_in(body), message_in(body)
    raise error_of_status(status, body, {"retry-after": str(body)[:50]}, "sk-secret")


def use_reply(text: str) -> None:
    parse_draft(text)
    read_reply(text)
    parse_turn(text)
    split_thinking(text)
    for opened, lead in (("", ""), ("<think>", ""), ("<think>", "Thought: ")):
        split_turn(text, opened, lead)
        try_split_turn(text, opened, lead)


def use_action(text: str) -> None:
    for form in FORMATS.values():
        form.parse(text)


REPLIES = (
    Kind(
        "replies: bodies",
        changed(st.sampled_from([BODY, IN_PARTS, ERROR])) | values(),
        use_body,
        (RequestError,),
    ),
    Kind(
        "replies: bodies as text",
        damaged(st.sampled_from([BODY, IN_PARTS, ERROR]).map(json.dumps), PIECES),
        use_text_body,
        (RequestError,),
    ),
    Kind(
        "replies: errors",
        st.tuples(
            st.sampled_from([400, 401, 404, 408, 422, 429, 500, 503]),
            changed(st.just(ERROR)) | values() | TEXTS,
        ),
        use_error,
        (RequestError,),
    ),
    Kind("replies: reflections, judgements", damaged(st.sampled_from(SAID), PIECES) | TEXTS, use_reply, ()),
    Kind("replies: actions", damaged(st.sampled_from(SAID), PIECES) | TEXTS, use_action, ()),
)
