"""The fake server is as strict, as honest and as broken as it claims, seen through the official client.

What that client (openai 3.57, no retries of its own) makes of each fault is fixed here, for `create` and for `parse`.
Beware of what it does not raise: a page of HTML, a JSON null or a body without choices are returned as they are, and a
body that is not JSON raises JSONDecodeError, which is no OpenAIError.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import openai
import pydantic
import pytest
from openai import AsyncOpenAI

from tests.fake_openai import FakeOpenAI, Fault, Record

KEY = "sk-secret-of-the-tests-000"
MESSAGES = [{"role": "user", "content": "You are in a room. Your task is to find a mug."}]
ASKED: dict[str, Any] = {"model": "small", "messages": MESSAGES, "seed": 7}


class Reflection(pydantic.BaseModel):
    thought: str
    action: str


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


@pytest.fixture
def vllm() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(dialect="vllm") as server:
        yield server


def ask(server: FakeOpenAI, *, timeout: float = 5.0, key: str = KEY, **changes: Any) -> Any:
    """One request; what `create` returns or raises. A change to None leaves the field out."""
    return asyncio.run(_ask(server, timeout, key, {**ASKED, **changes}))


async def _ask(server: FakeOpenAI, timeout: float, key: str, fields: dict[str, Any]) -> Any:
    async with AsyncOpenAI(base_url=server.url, api_key=key, max_retries=0, timeout=timeout) as client:
        known = {name: value for name, value in fields.items() if value is not None}
        return await client.chat.completions.create(
            model=known.pop("model"), messages=known.pop("messages"), extra_body=known
        )


def parse(server: FakeOpenAI, *, timeout: float = 5.0) -> Any:
    async def one() -> Any:
        async with AsyncOpenAI(base_url=server.url, api_key=KEY, max_retries=0, timeout=timeout) as client:
            return await client.chat.completions.parse(**ASKED, response_format=Reflection)

    return asyncio.run(one())


RAISED = [
    (Fault.rate_limit(), openai.RateLimitError, "rate_limit_exceeded"),
    (Fault.quota(), openai.RateLimitError, "insufficient_quota"),
    (Fault.server_error(500), openai.InternalServerError, None),
    (Fault.server_error(503), openai.InternalServerError, None),
    (Fault.html(502), openai.InternalServerError, None),
    (Fault.unauthorized(), openai.AuthenticationError, "invalid_api_key"),
    (Fault.forbidden(), openai.PermissionDeniedError, "unsupported"),
    (Fault.unknown_model(), openai.NotFoundError, "model_not_found"),
    (Fault.no_response_format(), openai.BadRequestError, None),
    (Fault.hang(), openai.APITimeoutError, None),
    (Fault.slow(3.0), openai.APITimeoutError, None),
    (Fault.drop(), openai.APIConnectionError, None),
    (Fault.drop(reset=True), openai.APIConnectionError, None),
    (Fault.drop_mid_body(), openai.APIConnectionError, None),
    (Fault.drop_mid_body(reset=True), openai.APIConnectionError, None),
    (Fault.crash(), openai.APIConnectionError, None),
    (Fault.short_length(), json.JSONDecodeError, None),
    (Fault.truncated_json(), json.JSONDecodeError, None),
    (Fault.malformed(), json.JSONDecodeError, None),
    (Fault.malformed(b""), json.JSONDecodeError, None),
    (Fault.malformed(b"\xff\xfe{"), UnicodeDecodeError, None),
]


@pytest.mark.parametrize("way", [ask, parse])
@pytest.mark.parametrize(("fault", "raised", "code"), RAISED, ids=lambda value: getattr(value, "name", None))
def test_a_fault_raises_what_the_client_documents(
    server: FakeOpenAI, way: Callable[..., Any], fault: Fault, raised: type[Exception], code: str | None
) -> None:
    server.plan.fail_next(fault)
    with pytest.raises(raised) as caught:
        way(server, timeout=0.3)
    assert type(caught.value) is raised
    assert getattr(caught.value, "code", None) == code
    assert server.counts == {fault.name: 1}


RETURNED: list[tuple[Fault, Callable[[Any], bool], type[Exception] | None]] = [
    (Fault.html(200), lambda r: isinstance(r, str), AttributeError),
    (Fault.malformed(b"null"), lambda r: r is None, AttributeError),
    (Fault.error_as_success(), lambda r: r.choices is None, TypeError),
    (Fault.no_choices(), lambda r: r.choices is None, TypeError),
    (Fault.no_message(), lambda r: r.choices[0].message is None, AttributeError),
    (Fault.empty_choices(), lambda r: r.choices == [], None),
    (Fault.null_content(), lambda r: r.choices[0].message.content is None, None),
    (Fault.empty_text(), lambda r: r.choices[0].message.content == "", None),
    (Fault.refusal("No."), lambda r: r.choices[0].message.refusal == "No.", None),
    (Fault.no_usage(), lambda r: r.usage is None, None),
    (Fault.stale_model("old"), lambda r: r.model == "old", None),
    (Fault.cut_short(), lambda r: r.choices[0].finish_reason == "length", openai.LengthFinishReasonError),
    (
        Fault.content_filter(),
        lambda r: r.choices[0].finish_reason == "content_filter",
        openai.ContentFilterFinishReasonError,
    ),
    (
        Fault.wrong_text("No JSON"),
        lambda r: r.choices[0].message.content == "No JSON",
        pydantic.ValidationError,
    ),
]
"""A fault, what `create` hands through, and what `parse` raises over it (None: nothing)."""


@pytest.mark.parametrize(
    ("fault", "holds", "raised"), RETURNED, ids=lambda value: getattr(value, "name", None)
)
def test_a_broken_answer_that_the_client_lets_through(
    server: FakeOpenAI, fault: Fault, holds: Callable[[Any], bool], raised: type[Exception] | None
) -> None:
    server.plan.fail_next(fault, times=2)
    assert holds(ask(server))
    if raised is None:
        assert holds(parse(server))
    else:
        with pytest.raises(raised):
            parse(server)
    assert server.counts == {fault.name: 2}


def test_without_a_fault_nothing_is_wrong(server: FakeOpenAI) -> None:
    reply, parsed = ask(server), parse(server)
    assert reply.model == "small"
    assert reply.choices[0].finish_reason == "stop"
    assert isinstance(parsed.choices[0].message.parsed, Reflection)
    assert [record.status for record in server.requests] == [200, 200]
    assert all(record.fitting for record in server.requests)
    assert server.counts == {"": 2}
    assert server.refusals == []


def test_retry_after_comes_in_every_form(server: FakeOpenAI) -> None:
    def headers(fault: Fault) -> Any:
        server.plan.fail_next(fault)
        with pytest.raises(openai.RateLimitError) as caught:
            ask(server)
        return caught.value.response.headers

    assert headers(Fault.rate_limit(0.05))["retry-after"] == "0.05"
    assert headers(Fault.rate_limit(0.05, "milliseconds"))["retry-after-ms"] == "50.0"
    date = parsedate_to_datetime(headers(Fault.rate_limit(3600, "date"))["retry-after"])
    assert 3000 < date.timestamp() - time.time() <= 3600
    assert "retry-after" not in headers(Fault.rate_limit())


def test_a_trickling_body_outlasts_every_read_but_not_a_clock_round_the_call(server: FakeOpenAI) -> None:
    server.plan.script = {0: Fault.trickle(0.6, pieces=12), 1: Fault.trickle(30, pieces=300)}
    assert ask(server, timeout=0.3).model == "small"

    async def limited() -> None:
        async with asyncio.timeout(0.3):
            await _ask(server, 0.3, KEY, ASKED)

    with pytest.raises(TimeoutError):
        asyncio.run(limited())
    assert _soon(lambda: server.requests[1].abandoned)
    assert not server.requests[0].abandoned


def test_a_short_length_breaks_the_next_request_on_its_connection(server: FakeOpenAI) -> None:
    async def twice() -> Any:
        async with AsyncOpenAI(base_url=server.url, api_key=KEY, max_retries=0) as client:
            with pytest.raises(json.JSONDecodeError):
                await client.chat.completions.create(**ASKED)
            with pytest.raises(openai.APIConnectionError):
                await client.chat.completions.create(**ASKED)
            return await client.chat.completions.create(**ASKED)

    server.plan.fail_next(Fault.short_length())
    assert asyncio.run(twice()).model == "small"


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
        async with AsyncOpenAI(base_url=server.url, api_key=KEY, max_retries=0) as client:
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


def test_a_context_overflow_is_told_as_each_server_tells_it(server: FakeOpenAI, vllm: FakeOpenAI) -> None:
    told = {}
    for fake in (server, vllm):
        fake.n_ctx = 22  # the prompt has twelve words
        assert ask(fake, max_tokens=10).model == "small"
        with pytest.raises(openai.BadRequestError, match="maximum context length is 22 tokens") as caught:
            ask(fake, max_tokens=11)
        told[fake.dialect] = (caught.value.code, caught.value.param)
    assert told == {"openai": ("context_length_exceeded", "messages"), "vllm": ("400", "input_tokens")}


# Honest answers


def text_of(reply: Any) -> str:
    return reply.choices[0].message.content


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
    ("changes", "text", "finish"),
    [
        ({}, "one two\nthree four", "stop"),
        ({"max_tokens": 4}, "one two\nthree four", "stop"),
        ({"max_tokens": 3}, "one two\nthree", "length"),
        ({"max_completion_tokens": 1}, "one", "length"),
        ({"stop": "\n"}, "one two", "stop"),
        ({"stop": ["four", "\nth"]}, "one two", "stop"),
        ({"stop": "four", "max_tokens": 3}, "one two\nthree", "length"),
    ],
)
def test_limits_and_stop_strings_are_honoured(
    server: FakeOpenAI, changes: dict[str, Any], text: str, finish: str
) -> None:
    server.answer = lambda request, number: "one two\nthree four"
    reply = ask(server, **changes)
    assert (text_of(reply), reply.choices[0].finish_reason) == (text, finish)
    assert reply.usage.completion_tokens == len(text.split())


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


# Plans, life and death, records


def test_faults_go_by_number_then_in_turn_then_by_rule(server: FakeOpenAI) -> None:
    server.plan.script = {1: Fault.quota()}
    server.plan.fail_next(Fault.server_error(), times=2)
    server.plan.fail_when(lambda record: record.body["seed"] == 3, Fault.server_error(503))
    for seed in (1, 2, 2, 3, 4):
        try:
            ask(server, seed=seed)
        except openai.APIStatusError:
            continue
    names = [record.fault for record in server.requests]
    assert names == ["server_error_500", "quota", "server_error_500", "server_error_503", ""]
    assert [record.attempt for record in server.requests] == [0, 0, 1, 0, 0]
    assert [record.status for record in server.requests] == [500, 429, 500, 503, 200]
    server.plan.heal()
    assert ask(server, seed=3).model == "small"


def test_faults_by_chance_do_not_depend_on_the_order_of_arrival() -> None:
    def failed(seeds: list[int]) -> set[int]:
        with FakeOpenAI() as server:
            server.plan.fail_randomly(Fault.server_error(), 0.3, seed=1)
            asyncio.run(_gather(server, [{"seed": seed} for seed in seeds]))
            return {record.body["seed"] for record in server.requests if record.fault}

    forwards = failed(list(range(60)))
    assert forwards == failed(list(range(59, -1, -1)))
    assert 8 <= len(forwards) <= 28


async def _gather(server: FakeOpenAI, requests: list[dict[str, Any]], in_flight: int = 16) -> list[Any]:
    gate = asyncio.Semaphore(in_flight)
    async with AsyncOpenAI(base_url=server.url, api_key=KEY, max_retries=0) as client:

        async def one(changes: dict[str, Any]) -> Any:
            async with gate:
                return await client.chat.completions.create(**ASKED | changes)

        return await asyncio.gather(*map(one, requests), return_exceptions=True)


def test_a_server_that_is_stopped_refuses_and_comes_back_where_it_was(server: FakeOpenAI) -> None:
    async def story() -> tuple[Any, Any]:
        async with AsyncOpenAI(base_url=server.url, api_key=KEY, max_retries=0) as client:
            await client.chat.completions.create(**ASKED)
            server.stop()
            for _ in range(2):
                with pytest.raises(openai.APIConnectionError):
                    await client.chat.completions.create(**ASKED)
            server.start(model="other")
            with pytest.raises(openai.NotFoundError):
                await client.chat.completions.create(**ASKED)
            models = await client.models.list()
            return models.data[0].id, await client.chat.completions.create(**ASKED | {"model": "other"})

    listed, reply = asyncio.run(story())
    assert listed == reply.model == "other"


def test_a_crash_breaks_all_that_is_in_flight_and_heals_by_itself(server: FakeOpenAI) -> None:
    server.latency = 5.0
    server.plan.script = {7: Fault.crash(down=0.05, model="other")}
    outcomes = asyncio.run(_gather(server, [{"seed": seed} for seed in range(8)]))
    assert all(isinstance(outcome, openai.APIConnectionError) for outcome in outcomes)
    server.latency = 0.0
    assert _soon(lambda: _answers(server, model="other"))


def _answers(server: FakeOpenAI, **changes: Any) -> bool:
    try:
        return bool(ask(server, **changes))
    except openai.APIConnectionError:
        return False


def _soon(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_a_client_that_gives_up_frees_its_place(server: FakeOpenAI) -> None:
    server.plan.fail_next(Fault.hang())
    with pytest.raises(openai.APITimeoutError):
        ask(server, timeout=0.1)
    assert _soon(lambda: server.requests[0].abandoned)
    ask(server)
    assert [record.concurrency for record in server.requests] == [1, 1]


def test_health_and_models_are_told(vllm: FakeOpenAI) -> None:
    async def look() -> tuple[Any, Any]:
        async with AsyncOpenAI(base_url=vllm.url, api_key=KEY, max_retries=0) as client:
            health = await client.get(f"http://127.0.0.1:{vllm.port}/health", cast_to=str)
            return health, await client.models.list()

    vllm.n_ctx = 512
    health, models = asyncio.run(look())
    assert health == ""
    assert [(model.id, model.max_model_len) for model in models.data] == [("small", 512)]
    assert vllm.requests == []


def test_an_error_in_the_test_s_own_answer_is_not_lost() -> None:
    def answer(request: dict[str, Any], number: int) -> str:
        raise KeyError("the test's mistake")

    with (
        pytest.raises(KeyError, match="the test's mistake"),
        FakeOpenAI(answer=answer) as server,
        pytest.raises(openai.APIConnectionError),
    ):
        ask(server)


def test_two_hundred_requests_at_64_in_flight_are_all_answered_right(vllm: FakeOpenAI) -> None:
    vllm.latency = 0.02
    replies = asyncio.run(_gather(vllm, [{"seed": seed} for seed in range(200)], in_flight=64))
    assert len({text_of(reply) for reply in replies}) == 200
    assert text_of(replies[123]) == text_of(ask(vllm, seed=123))
    assert 32 <= vllm.max_concurrency <= 64
    assert vllm.counts == {"": 201}
    assert vllm.refusals == []


def test_a_rule_sees_how_busy_the_server_is() -> None:
    def crowded(record: Record) -> bool:
        return record.concurrency > 8

    with FakeOpenAI(latency=0.05) as server:
        server.plan.fail_when(crowded, Fault.rate_limit(retry_after=0.05))
        asyncio.run(_gather(server, [{"seed": seed} for seed in range(32)], in_flight=32))
        assert all((record.fault == "rate_limit") == crowded(record) for record in server.requests)
        assert 0 < server.counts["rate_limit"] < 32
