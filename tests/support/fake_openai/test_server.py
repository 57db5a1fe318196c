"""The fake server is as strict and as honest as it claims, seen through the official client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.support.fake_openai.client import (
    KEY,
    MESSAGES,
    ask,
    client_of,
    gather,
    parse,
    text_of,
)
from tests.support.fake_openai.server import FakeOpenAI, Fault


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


@pytest.fixture
def vllm() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(dialect="vllm") as server:
        yield server


# Keys


def test_only_the_right_key_is_let_in() -> None:
    with FakeOpenAI(key=KEY) as server:
        assert ask(server).model == "small"
        with pytest.raises(openai.AuthenticationError, match=r"sk-wro\*\*\*999") as masked:
            ask(server, key="sk-wrong-key-999")
        server.shows_key = True
        with pytest.raises(openai.AuthenticationError, match="sk-wrong-key-999"):
            ask(server, key="sk-wrong-key-999")
    assert "sk-wrong-key-999" not in str(masked.value)


def test_vllm_refuses_a_key_without_a_word() -> None:
    with (
        FakeOpenAI(dialect="vllm", key=KEY) as server,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        ask(server, key="sk-wrong-key-999")
    assert caught.value.body == "Unauthorized"


def test_some_errors_show_the_key(server: FakeOpenAI) -> None:
    for fault in (Fault.unauthorized(), Fault.debug_page()):
        server.plan.fail_next(fault)
        with pytest.raises(openai.APIStatusError, match=KEY):
            ask(server)


# Strictness

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}


def schema_format(schema: dict[str, Any], name: str = "answer") -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": True}}


def said(*turns: str) -> list[dict[str, str]]:
    return [{"role": role, "content": "words"} for role in turns]


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("Unknown parameter: 'guided_choice'", {"guided_choice": ["look"]}),
    ("Unknown parameter: 'surprise'", {"surprise": 1}),
    ("'temperature'", {"temperature": 2.5}),
    ("'temperature'", {"temperature": "hot"}),
    ("'top_p'", {"top_p": 0}),
    ("'n'", {"n": 2}),
    ("'stream'", {"stream": True}),
    ("'max_tokens'", {"max_tokens": 0}),
    ("'max_tokens'", {"max_tokens": 8.0}),
    ("must not be set together", {"max_tokens": 8, "max_completion_tokens": 8}),
    ("'seed'", {"seed": "7"}),
    ("'seed'", {"seed": 2**63}),
    ("'stop'", {"stop": ["a", "b", "c", "d", "e"]}),
    ("'stop'", {"stop": [""]}),
    ("alternate", {"messages": said("user", "user")}),
    ("alternate", {"messages": said("assistant", "user")}),
    ("alternate", {"messages": said("system")}),
    ("wrong role", {"messages": said("user", "assistant")}),
    ("expected a string", {"messages": [{"role": "user", "content": [{"type": "text", "text": "words"}]}]}),
    ("nothing else", {"messages": [{"role": "user", "content": "words", "mood": "good"}]}),
    ("'response_format'", {"response_format": {"type": "yaml"}}),
    ("name", {"response_format": schema_format(SCHEMA, "two words")}),
    ("Invalid schema", {"response_format": schema_format({"type": "tuple"})}),
    ('type: "object"', {"response_format": schema_format({"type": "array", "items": SCHEMA})}),
    ("additionalProperties", {"response_format": schema_format(SCHEMA | {"additionalProperties": True})}),
    ("'required'", {"response_format": schema_format(SCHEMA | {"required": []})}),
    (
        "'default' is not permitted",
        {
            "response_format": schema_format(
                SCHEMA | {"properties": {"a": {"type": "string", "default": "b"}}}
            )
        },
    ),
]


@pytest.mark.parametrize("dialect", ["openai", "vllm"])
def test_what_breaks_a_rule_is_refused(dialect: Any) -> None:
    with FakeOpenAI(dialect=dialect) as server:
        server.plan.fail_next(Fault.server_error())
        for text, changes in REFUSED:
            with pytest.raises(openai.BadRequestError, match=text):
                ask(server, **changes)
        assert len(server.refusals) == len(REFUSED)
        assert server.counts == {"": len(REFUSED)}, "a refused request spends no fault"


def test_a_missing_model_is_refused(server: FakeOpenAI) -> None:
    async def post() -> None:
        async with client_of(server) as client:
            await client.post("/chat/completions", body={"messages": MESSAGES}, cast_to=object)

    with pytest.raises(openai.BadRequestError, match="model"):
        asyncio.run(post())


ACCEPTED: dict[str, Any] = {
    "temperature": 0.7, "top_p": 0.9, "n": 1, "max_completion_tokens": 64, "stop": ["\n\n"], "presence_penalty": 0.0,
    "frequency_penalty": 0, "user": "tests", "response_format": schema_format(SCHEMA),
    "messages": said("system", "user", "assistant", "user"),
}  # fmt: skip
VLLM_ONLY: dict[str, Any] = {
    "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "stop_token_ids": [2], "skip_special_tokens": True,
    "chat_template_kwargs": {"enable_thinking": False}, "add_generation_prompt": True, "continue_final_message": False,
}  # fmt: skip


def test_what_keeps_the_rules_is_accepted(server: FakeOpenAI, vllm: FakeOpenAI) -> None:
    ask(server, **ACCEPTED)
    ask(vllm, **ACCEPTED, **VLLM_ONLY)
    for wanted in ({"choice": ["look"]}, {"regex": "look|go"}, {"json": SCHEMA}):
        ask(vllm, structured_outputs=wanted)
    assert server.refusals == vllm.refusals == []


@pytest.mark.parametrize("field", [*VLLM_ONLY, "structured_outputs"])
def test_what_only_vllm_knows_is_refused_elsewhere(server: FakeOpenAI, field: str) -> None:
    value = VLLM_ONLY.get(field, {"choice": ["look"]})
    with pytest.raises(openai.BadRequestError, match=f"Unknown parameter: '{field}'"):
        ask(server, **{field: value})


@pytest.mark.parametrize(
    "wanted", [{}, {"choice": []}, {"choice": ["a"], "regex": "a"}, {"regex": "("}, {"grammar": "root"}]
)
def test_a_senseless_constraint_is_refused(vllm: FakeOpenAI, wanted: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError):
        ask(vllm, structured_outputs=wanted)


def test_a_model_may_lack_a_field(server: FakeOpenAI) -> None:
    server.unsupported = frozenset({"response_format"})
    with pytest.raises(openai.BadRequestError, match="not supported with this model") as caught:
        parse(server)
    assert caught.value.param == "response_format"
    assert ask(server).model == "small"


def test_another_model_is_not_found(server: FakeOpenAI, vllm: FakeOpenAI) -> None:
    for fake, code in ((server, "model_not_found"), (vllm, "404")):
        with pytest.raises(openai.NotFoundError) as caught:
            ask(fake, model="large")
        assert caught.value.code == code


def test_an_overflow_is_worded_as_each_server_words_it(server: FakeOpenAI, vllm: FakeOpenAI) -> None:
    def told(fake: FakeOpenAI, n_ctx: int, **changes: Any) -> tuple[str | None, str | None]:
        fake.n_ctx = n_ctx
        with pytest.raises(openai.BadRequestError, match=r"maximum context length is|max_tokens") as caught:
            ask(fake, **changes)
        return caught.value.code, caught.value.param

    # The prompt has twelve words.
    assert told(server, 22, max_tokens=11) == ("context_length_exceeded", "messages")
    assert told(server, 12) == ("context_length_exceeded", "messages")
    assert told(vllm, 11, max_tokens=5) == ("400", "input_tokens")
    assert told(vllm, 12, max_tokens=5) == ("400", "max_tokens")
    assert told(vllm, 22, max_tokens=23) == ("400", "max_tokens")
    server.n_ctx = vllm.n_ctx = 14
    assert ask(server, max_tokens=2).usage.total_tokens == 14
    cut = ask(vllm, max_tokens=14)
    assert (cut.choices[0].finish_reason, cut.usage.completion_tokens) == ("length", 2)


# Honest answers


def test_an_answer_depends_on_messages_and_seed_and_when_greedy_on_messages_alone(server: FakeOpenAI) -> None:
    def answer(**changes: Any) -> str:
        return text_of(ask(server, **changes))

    assert answer() == answer()
    assert answer() != answer(seed=8)
    assert answer() != answer(messages=said("user"))
    assert answer(temperature=0) == answer(temperature=0, seed=8)
    assert answer(seed=None) != answer(seed=None)


def test_tokens_are_words_and_known_beginnings_are_cached(server: FakeOpenAI) -> None:
    server.answer = lambda request, number: "one two three"
    first = ask(server).usage
    longer = [*MESSAGES, {"role": "assistant", "content": "one two"}, {"role": "user", "content": "three"}]
    second = ask(server, messages=longer).usage
    assert (first.prompt_tokens, first.completion_tokens, first.total_tokens) == (12, 3, 15)
    assert (second.prompt_tokens, second.prompt_tokens_details.cached_tokens) == (15, 12)
    assert first.prompt_tokens_details.cached_tokens == 0


@pytest.mark.parametrize(
    ("changes", "text", "finish", "tokens"),
    [
        ({}, "one two\nthree four", "stop", 4),
        ({"max_tokens": 4}, "one two\nthree four", "stop", 4),
        ({"max_tokens": 3}, "one two\nthree", "length", 3),
        ({"max_completion_tokens": 1}, "one", "length", 1),
        ({"stop": "\n"}, "one two", "stop", 3),
        ({"stop": ["four", "\nth"]}, "one two", "stop", 3),
        ({"stop": "four", "max_tokens": 3}, "one two\nthree", "length", 3),
    ],
)
def test_limits_and_stop_strings_are_honoured(
    server: FakeOpenAI, changes: dict[str, Any], text: str, finish: str, tokens: int
) -> None:
    server.answer = lambda request, number: "one two\nthree four"
    reply = ask(server, **changes)
    assert (text_of(reply), reply.choices[0].finish_reason) == (text, finish)
    assert reply.usage.completion_tokens == tokens


def test_on_vllm_the_end_of_the_turn_is_a_token(vllm: FakeOpenAI) -> None:
    vllm.answer = lambda request, number: "one two\nthree four"
    whole, full, stopped = ask(vllm), ask(vllm, max_tokens=4), ask(vllm, stop="three")
    assert [reply.usage.completion_tokens for reply in (whole, full, stopped)] == [5, 4, 3]
    assert [reply.choices[0].finish_reason for reply in (whole, full, stopped)] == ["stop", "length", "stop"]
    assert [reply.choices[0].stop_reason for reply in (whole, full, stopped)] == [None, None, "three"]


def test_whether_an_answer_fits_its_constraint_is_recorded(vllm: FakeOpenAI) -> None:
    for wanted in ({"choice": ["look", "go"]}, {"json": SCHEMA}):
        ask(vllm, structured_outputs=wanted)
    vllm.answer = lambda request, number: "look"
    for wanted in (
        {"choice": ["look"]},
        {"regex": "l.*k"},
        {"choice": ["go"]},
        {"regex": "l"},
        {"json": SCHEMA},
    ):
        ask(vllm, structured_outputs=wanted)
    assert [record.fitting for record in vllm.requests] == [True, True, True, True, False, False, False]


def test_health_and_models_are_served(vllm: FakeOpenAI) -> None:
    async def look() -> tuple[Any, Any]:
        async with client_of(vllm) as client:
            health = await client.get(f"http://127.0.0.1:{vllm.port}/health", cast_to=str)
            return health, await client.models.list()

    vllm.n_ctx, vllm.root = 512, "checkpoints/small"
    health, models = asyncio.run(look())
    assert health == ""
    assert [(model.id, model.root, model.max_model_len) for model in models.data] == [
        ("small", "checkpoints/small", 512)
    ]
    assert vllm.requests == []


def test_two_hundred_requests_at_64_in_flight_are_all_answered_right(vllm: FakeOpenAI) -> None:
    vllm.latency = 0.2
    replies = asyncio.run(gather(vllm, [{"seed": seed} for seed in range(200)], in_flight=64))
    assert len({text_of(reply) for reply in replies}) == 200
    assert text_of(replies[123]) == text_of(ask(vllm, seed=123))
    assert 16 < vllm.max_concurrency <= 64
    assert vllm.counts == {"": 201}
    assert vllm.refusals == []
