"""Reading an answer with status 200: thinking and text, a refusal, or an error after all."""

from __future__ import annotations

from typing import Any

import pytest
from tenacity import wait_random_exponential

from models.client import endpoint as subject
from models.client.answers import read_answer
from models.client.calls import Reply
from models.client.errors import ErrorKind, RequestError
from tests.support.call_logs import MemoryCallLog
from tests.support.endpoints import MODEL, ask, endpoint_of, outcomes, right
from tests.support.fake_openai.server import FakeOpenAI, Fault

TURN = "Thought: so.\nAction: look"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "BACKOFF", wait_random_exponential(multiplier=0.005, max=0.03))


def reply_of(message: dict[str, Any], finish: str = "stop", **more: Any) -> Reply:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish, **more}
    return read_answer(
        {"model": "m", "choices": [choice], "usage": {"completion_tokens": 5}}, "m", strict=True
    ).reply


THOUGHT: list[tuple[dict[str, Any], str, str]] = [
    ({"content": f"<think>\nAction: inventory\n</think>\n\n{TURN}"}, "Action: inventory", TURN),
    ({"content": f"Action: inventory\n</think>\n{TURN}"}, "Action: inventory", TURN),
    ({"content": f"<think>\n\n</think>\n\n{TURN}"}, "", TURN),
    ({"content": TURN, "reasoning_content": "Action: inventory"}, "Action: inventory", TURN),
    ({"content": TURN, "reasoning": "hm"}, "hm", TURN),
    ({"content": "", "reasoning_content": TURN}, TURN, ""),
    ({"content": None, "reasoning": TURN}, TURN, ""),
    ({"reasoning_content": TURN}, TURN, ""),
    ({"content": TURN, "reasoning_content": "", "reasoning": None}, "", TURN),
    ({"content": TURN, "reasoning_content": {"odd": 1}}, "", TURN),
    ({"content": f"{TURN}\n "}, "", f"{TURN}\n "),
    ({"content": "<think>Action: inventory"}, "Action: inventory", ""),
    (
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                {"type": "text", "text": TURN},
            ]
        },
        "hm",
        TURN,
    ),
]


@pytest.mark.parametrize(("message", "thinking", "text"), THOUGHT)
def test_thinking_is_never_part_of_the_answer(message: dict[str, Any], thinking: str, text: str) -> None:
    assert reply_of(message) == Reply(text, 5, "stop", thinking)


def test_thinking_that_was_cut_off_is_an_empty_answer_of_finish_length() -> None:
    assert reply_of({"content": "<think>hm"}, "length") == Reply("", 5, "length", "hm")


def test_a_refusal_is_recognised() -> None:
    assert reply_of({"content": None, "refusal": "I  cannot."}).refusal == "I cannot."
    assert reply_of({"content": None}, "content_filter").refusal
    assert reply_of({"content": "So", "refusal": None}).refusal == ""
    assert reply_of({"content": "So", "refusal": ""}, "content_filter").refusal == ""


ERRORS: list[tuple[object, ErrorKind]] = [
    ({"error": {"code": 429, "message": "slow down"}}, "rate_limit"),
    ({"error": {"code": "429"}}, "rate_limit"),
    ({"error": {"type": "rate_limit_error"}}, "rate_limit"),
    ({"error": {"message": "busy", "status": "RESOURCE_EXHAUSTED"}}, "rate_limit"),
    ({"object": "error", "message": "busy", "code": 429}, "rate_limit"),
    ({"error": {"message": "x", "metadata": {"raw": {"error": {"code": 429}}}}}, "rate_limit"),
    ([{"error": {"code": 429}}], "rate_limit"),
    ({"code": 503, "message": "loading"}, "overloaded"),
    ({"error": {"type": "overloaded_error"}}, "overloaded"),
    ({"error": {"code": 502}}, "server_error"),
    ({"error": {"code": 500}, "choices": None}, "server_error"),
    ({"error": {"code": 500}, "choices": []}, "server_error"),
    (
        {"choices": [{"error": {"code": 502, "message": "provider"}, "message": {"content": ""}}]},
        "server_error",
    ),
    ({"error": {"code": "insufficient_quota"}}, "quota"),
    ({"error": {"code": 402}}, "quota"),
    ({"error": {"code": 401, "message": "the key sk-secret"}}, "key"),
    ({"error": {"code": 404}}, "model"),
    ({"error": {"type": "exceed_context_size_error"}}, "context"),
    ({"error": {"code": 400}}, "refused"),
    ({"error": "Something went wrong with sk-secret"}, "malformed"),
    ({"object": "error"}, "malformed"),
    ({"object": "chat.completion"}, "malformed"),
]


@pytest.mark.parametrize(("body", "kind"), ERRORS)
def test_an_error_with_status_200_is_the_error_that_it_is(body: object, kind: ErrorKind) -> None:
    with pytest.raises(RequestError) as raised:
        read_answer(body, "m", strict=True, secret="sk-secret")
    assert raised.value.kind == kind
    assert "sk-secret" not in str(raised.value)


@pytest.mark.parametrize("none", [None, {}, "", False])
def test_an_answer_beside_an_empty_error_is_an_answer(none: object) -> None:
    body = {"model": "m", "error": none, "choices": [{"message": {"content": TURN}, "finish_reason": "stop"}]}
    assert read_answer(body, "m", strict=True).reply.text == TURN


def test_json_under_another_label_is_read() -> None:
    assert (
        read_answer('{"model": "m", "choices": [{"message": {"content": "x"}}]}', "m", True).reply.text == "x"
    )


@pytest.mark.parametrize("code", [429, 503, 500])
def test_a_transient_error_with_status_200_is_retried(code: int) -> None:
    call_log = MemoryCallLog()
    with FakeOpenAI(MODEL, dialect="vllm") as server:
        server.plan.fail_next(Fault.error_as_success({"error": {"code": code, "message": "busy"}}), times=6)
        (reply,) = outcomes(endpoint_of(server, call_log=call_log), [ask()])
    assert isinstance(reply, Reply)
    assert reply.text == right(ask())
