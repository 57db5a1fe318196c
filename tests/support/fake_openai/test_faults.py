"""The fake server is as broken as it claims, seen through the official client.

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

from tests.support.fake_openai.client import (
    ASKED,
    KEY,
    Reflection,
    ask,
    asked,
    client_of,
    gather,
    parse,
)
from tests.support.fake_openai.replies import json_reply
from tests.support.fake_openai.server import FakeOpenAI, Fault, Record


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


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
        way(server, timeout=0.3 if raised is openai.APITimeoutError else 5.0)
    assert type(caught.value) is raised
    assert getattr(caught.value, "code", None) == code
    assert server.counts == {fault.name: 1}


RETURNED: list[tuple[Fault, Callable[[Any], bool], type[Exception] | None]] = [
    (Fault.html(200), lambda r: isinstance(r, str), AttributeError),
    (Fault.malformed(b"null"), lambda r: r is None, AttributeError),
    (Fault.error_as_success([{"error": {"code": 429}}]), lambda r: isinstance(r, list), AttributeError),
    (Fault.error_as_success(), lambda r: r.choices is None, TypeError),
    (Fault.no_choices(), lambda r: r.choices is None, TypeError),
    (Fault.no_message(), lambda r: r.choices[0].message is None, AttributeError),
    (Fault.empty_choices(), lambda r: r.choices == [], None),
    (Fault.null_content(), lambda r: r.choices[0].message.content is None, None),
    (Fault.empty_text(), lambda r: r.choices[0].message.content == "", None),
    (Fault.refusal("No."), lambda r: r.choices[0].message.refusal == "No.", None),
    (Fault.no_usage(), lambda r: r.usage is None, None),
    (Fault.no_cache_details(), lambda r: r.usage.prompt_tokens_details is None, None),
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


def test_a_field_or_a_long_prompt_is_refused_in_the_words_that_it_is_told() -> None:
    long = [{"role": "user", "content": "word " * 60 + "end"}]
    says, overflows = (json_reply(422, {"error": {"message": what}}) for what in ("no field", "no room"))
    with FakeOpenAI(
        unsupported=frozenset({"seed", "json_object"}), refuses=lambda _: says, overflows=overflows, n_ctx=50
    ) as server:
        for changes in ({}, {"seed": None, "response_format": {"type": "json_object"}}):
            with pytest.raises(openai.UnprocessableEntityError, match="no field"):
                ask(server, **changes)
        with pytest.raises(openai.UnprocessableEntityError, match="no room"):
            ask(server, seed=None, messages=long)
        assert ask(server, seed=None).model == "small"
    assert server.refusals == []


def test_thinking_stands_beside_the_content_or_in_parts_of_it(server: FakeOpenAI) -> None:
    server.plan.fail_next(Fault.reasoning("hm", field="reasoning", content="So."))
    server.plan.fail_next(Fault.parts({"type": "text", "text": "So."}))
    beside, parted = (ask(server).choices[0].message for _ in range(2))
    assert (beside.reasoning, beside.content) == ("hm", "So.")
    assert parted.content == [{"type": "text", "text": "So."}]


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
    server.plan.script = {0: Fault.trickle(1.5, pieces=15), 1: Fault.trickle(30, pieces=300)}
    assert ask(server, timeout=1.0).model == "small"

    async def limited() -> None:
        async with asyncio.timeout(0.3):
            await asked(server, 5.0, KEY, ASKED)

    with pytest.raises(TimeoutError):
        asyncio.run(limited())
    assert _soon(lambda: server.requests[1].abandoned)
    assert not server.requests[0].abandoned


def test_a_short_length_breaks_the_next_request_on_its_connection(server: FakeOpenAI) -> None:
    async def twice() -> Any:
        async with client_of(server) as client:
            with pytest.raises(json.JSONDecodeError):
                await client.chat.completions.create(**ASKED)
            with pytest.raises(openai.APIConnectionError):
                await client.chat.completions.create(**ASKED)
            return await client.chat.completions.create(**ASKED)

    server.plan.fail_next(Fault.short_length())
    assert asyncio.run(twice()).model == "small"


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
            asyncio.run(gather(server, [{"seed": seed} for seed in seeds]))
            return {record.body["seed"] for record in server.requests if record.fault}

    forwards = failed(list(range(60)))
    assert forwards == failed(list(range(59, -1, -1)))
    assert 8 <= len(forwards) <= 28


def test_a_server_that_is_stopped_refuses_and_comes_back_where_it_was(server: FakeOpenAI) -> None:
    async def story() -> tuple[Any, Any]:
        async with client_of(server) as client:
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
    outcomes = asyncio.run(gather(server, [{"seed": seed} for seed in range(8)]))
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


def test_an_error_in_the_test_s_own_answer_is_not_lost() -> None:
    def answer(request: dict[str, Any], number: int) -> str:
        raise KeyError("the test's mistake")

    with (
        pytest.raises(KeyError, match="the test's mistake"),
        FakeOpenAI(answer=answer) as server,
        pytest.raises(openai.APIConnectionError),
    ):
        ask(server)


def test_a_rule_sees_how_busy_the_server_is() -> None:
    def crowded(record: Record) -> bool:
        return record.concurrency > 8

    with FakeOpenAI(latency=0.3) as server:
        server.plan.fail_when(crowded, Fault.rate_limit(retry_after=0.05))
        asyncio.run(gather(server, [{"seed": seed} for seed in range(32)], in_flight=32))
        assert all((record.fault == "rate_limit") == crowded(record) for record in server.requests)
        assert 0 < server.counts["rate_limit"] < 32
