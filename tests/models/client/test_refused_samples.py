"""A request that a server refuses while it answers others is data, whatever the server's message."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tenacity import wait_random_exponential

from models.client import endpoint as subject
from models.client.chat_request import ChatRequest
from models.client.endpoint import EndpointFault
from models.client.errors import error_of_status
from models.policy import Generation, History, PolicyFault, Sampling
from models.served.openai_policy import MIN_REFUSED, OpenAIPolicy
from tests.support.endpoints import MODEL, ask, endpoint_of, outcomes, right
from tests.support.fake_openai.replies import json_reply
from tests.support.fake_openai.server import FakeOpenAI, Fault, Record
from tests.support.fake_openai.wire import Reply

CONTEXT = 200
LONG = 300
OVERLONG: dict[str, Reply] = {
    "llama.cpp": json_reply(
        400,
        {
            "error": {
                "code": 400,
                "message": "request (300 tokens) exceeds the available context size (200 tokens), try increasing it",
                "type": "exceed_context_size_error",
                "n_prompt_tokens": 300,
                "n_ctx": 200,
            }
        },
    ),
    "llama.cpp, older": json_reply(
        500, {"error": {"code": 500, "message": "Context size has been exceeded.", "type": "server_error"}}
    ),
    "SGLang": json_reply(
        400,
        {
            "object": "error",
            "message": "The input (300 tokens) is longer than the model's context length (200 tokens).",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
    ),
    "TGI": json_reply(
        422,
        {
            "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 200. Given: 300 `inputs` "
            "tokens and 48 `max_new_tokens`",
            "error_type": "validation",
        },
    ),
    "Gemini": json_reply(
        400,
        [
            {
                "error": {
                    "code": 400,
                    "message": "The input token count (300) exceeds the maximum number of tokens allowed (200).",
                    "status": "INVALID_ARGUMENT",
                }
            }
        ],
    ),
    "Groq": json_reply(
        413,
        {
            "error": {
                "message": "Request too large for model on tokens per minute (TPM): Limit 200, Requested 348",
                "type": "tokens",
                "code": "rate_limit_exceeded",
            }
        },
    ),
    "Anthropic": json_reply(
        400,
        {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "message": "prompt is too long: 300 tokens > 200 maximum",
            },
        },
    ),
    "vLLM": json_reply(
        400,
        {
            "error": {
                "message": "The decoder prompt (length 300) is longer than the maximum model length of 200.",
                "type": "BadRequestError",
                "param": None,
                "code": 400,
            }
        },
    ),
    "vLLM, full": json_reply(
        400, {"error": {"message": "max_tokens must be at least 1, got 0.", "code": 400}}
    ),
    "OpenAI": json_reply(
        400,
        {
            "error": {
                "message": "Too long.",
                "type": "invalid_request_error",
                "code": "context_length_exceeded",
            }
        },
    ),
    "no words": json_reply(400, {}),
    "a page": Reply(413, b"<html>413 Request Entity Too Large</html>", media="text/html"),
    "another language": json_reply(422, {"detail": "Die Anfrage ist zu lang."}),
    "error in a success": json_reply(200, {"error": {"code": 400, "message": "too many tokens"}}),
}


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "BACKOFF", wait_random_exponential(multiplier=0.005, max=0.03))


def long(number: int = 0) -> ChatRequest:
    words = f"room {number} " + "word " * (LONG - 3) + "end"
    return ChatRequest([{"role": "user", "content": words}], 48, temperature=1.0, seed=number)


def in_room(number: int) -> Any:
    return lambda record: f"room {number}" in str(record.body["messages"])


@contextmanager
def policy_of(server: FakeOpenAI, **more: Any) -> Iterator[OpenAIPolicy]:
    policy = OpenAIPolicy(endpoint_of(server, **more), MODEL)
    try:
        yield policy
    finally:
        policy.close()


@pytest.mark.parametrize("purpose", ["policy", "reflection"])
@pytest.mark.parametrize("says", OVERLONG.values(), ids=OVERLONG)
def test_a_prompt_longer_than_the_context_is_data_in_any_servers_words(says: Reply, purpose: Any) -> None:
    with FakeOpenAI(MODEL, dialect="vllm", n_ctx=CONTEXT, overflows=says) as server:
        endpoint = endpoint_of(server, purpose=purpose, patience_seconds=60)
        requests = [ask(0), ask(1), long(), ask(2)]
        *short, full, last = (one for number in (0, 1, 3, 2) for one in [requests[number]])
        out = outcomes(endpoint, [*short, full, last])
        assert len(server.requests) <= 4 + 8
    kinds = [getattr(one, "kind", "") for one in out]
    assert sorted(kinds) == ["", "", "", "context"]


@pytest.mark.parametrize("says", OVERLONG.values(), ids=OVERLONG)
def test_the_first_request_of_all_may_be_too_long(says: Reply) -> None:
    with FakeOpenAI(MODEL, dialect="vllm", n_ctx=CONTEXT, overflows=says) as server:
        (out,) = outcomes(endpoint_of(server), [long()])
    assert isinstance(out, EndpointFault)
    assert out.kind in ("context", "refused_sample")


def test_a_limit_that_is_too_large_is_no_overflow_of_one_sample() -> None:
    with FakeOpenAI(MODEL, dialect="vllm", n_ctx=CONTEXT) as server:
        (out,) = outcomes(endpoint_of(server), [ask(max_tokens=CONTEXT + 1)])
    assert isinstance(out, EndpointFault)
    assert out.kind == "refused"


ODD = [
    (400, {"error": {"message": "I do not like this prompt.", "code": "nasty"}}),
    (422, {"detail": "unprocessable"}),
    (500, {"error": "tokenizer crashed"}),
    (404, {"error": "no provider takes this"}),
]


@pytest.mark.parametrize(("status", "body"), ODD)
def test_a_refused_sample_does_not_stop_the_others(status: int, body: object) -> None:
    logged: list[str] = []
    with FakeOpenAI(MODEL, dialect="vllm") as server, policy_of(server, log=logged.append) as policy:
        server.plan.fail_when(in_room(3), Fault.refusing(status, body))
        histories = [ask(number).messages for number in range(12)]
        turns = policy.act(histories, range(12), Sampling(1.0, max_tokens=48))
    wanted = [Generation("", 0, "stop") if n == 3 else right(ask(n, top_p=1.0)) for n in range(12)]
    assert [turn if n == 3 else turn.text for n, turn in enumerate(turns)] == wanted
    told = [line for line in logged if "refuses a request and answers others" in line]
    assert len(told) == 1
    assert f"HTTP {status}" in told[0]


def test_a_transient_server_error_is_no_refused_sample() -> None:
    with FakeOpenAI(MODEL, dialect="vllm") as server:
        server.plan.fail_when(
            lambda record: in_room(3)(record) and record.attempt < 4, Fault.server_error(500)
        )
        out = outcomes(endpoint_of(server), [ask(number) for number in range(6)])
    assert not [one for one in out if isinstance(one, BaseException)]


def test_a_policy_whose_turns_are_nearly_all_refused_stops() -> None:
    def refused(record: Record) -> bool:
        return "room" in str(record.body["messages"])

    histories = [ask(number).messages for number in range(200)]
    with FakeOpenAI(MODEL, dialect="vllm") as server, policy_of(server, in_flight=2) as policy:
        server.plan.fail_when(refused, Fault.refusing(400, {"error": "no."}))
        with pytest.raises(PolicyFault, match=r"HTTP 400: no\..*nearly all other turns were refused too"):
            policy.act(histories, range(200), Sampling())
    assert len(server.requests) <= 3 * MIN_REFUSED + 10


def test_a_model_that_refuses_is_an_empty_turn_and_is_asked_once() -> None:
    history: History = ask().messages
    with FakeOpenAI(MODEL, dialect="vllm") as server, policy_of(server) as policy:
        server.plan.fail_next(Fault.refusal())
        (turn,) = policy.act([history], [0], Sampling())
        assert len(server.requests) == 1
    assert (turn.text, turn.finish) == ("", "stop")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (402, {"error": "Insufficient Balance"}, "quota"),
        (500, {"error": {"type": "exceed_context_size_error"}}, "context"),
        (403, {"error": "moderated"}, "key"),
        (400, {"error": {"code": "content_filter"}}, "filtered"),
        (400, [{"error": {"status": "INVALID_ARGUMENT"}}], "refused"),
    ],
)
def test_machine_codes_are_believed(status: int, body: object, kind: str) -> None:
    assert error_of_status(status, body, {}, None).kind == kind
