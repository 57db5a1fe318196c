"""Transient errors are retried, permanent ones are raised once and clearly, and every call is logged."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from tenacity import RetryCallState, wait_exponential, wait_random_exponential

from configs.servers import EndpointConfig
from models.client import endpoint as subject
from models.client.attempts import MAX_MALFORMED
from models.client.calls import Reply
from models.client.chat_request import ChatRequest
from models.client.endpoint import BACKOFF, Endpoint
from models.client.errors import ErrorKind, RequestError, as_request_error
from tests.support.call_logs import MemoryCallLog
from tests.support.endpoints import MODEL, ask, endpoint_of, failed, outcomes, right, texts
from tests.support.fake_openai.replies import words
from tests.support.fake_openai.server import FakeOpenAI, Fault


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "BACKOFF", wait_random_exponential(multiplier=0.005, max=0.03))


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(MODEL, dialect="vllm") as running:
        yield running
        assert running.refusals == []


def named(value: object) -> str | None:
    return str(getattr(value, "name", "")) or None


TRANSIENT: list[tuple[Fault, ErrorKind]] = [
    (Fault.rate_limit(), "rate_limit"),
    (Fault.rate_limit(0.05), "rate_limit"),
    (Fault.rate_limit(0.05, "milliseconds"), "rate_limit"),
    (Fault.rate_limit(1, "date"), "rate_limit"),
    (Fault.server_error(500), "server_error"),
    (Fault.server_error(503), "overloaded"),
    (Fault.html(502), "server_error"),
    (Fault.html(200), "malformed"),
    (Fault.debug_page(), "server_error"),
    (Fault.hang(), "timeout"),
    (Fault.trickle(5.0, 100), "timeout"),
    (Fault.drop(), "connection"),
    (Fault.drop(reset=True), "connection"),
    (Fault.drop_mid_body(), "connection"),
    (Fault.drop_mid_body(reset=True), "connection"),
    (Fault.short_length(), "malformed"),
    (Fault.truncated_json(), "malformed"),
    (Fault.malformed(), "malformed"),
    (Fault.malformed(b""), "malformed"),
    (Fault.malformed(b"\xff\xfe{"), "malformed"),
    (Fault.malformed(b"null"), "malformed"),
    (Fault.malformed(b"[]"), "malformed"),
    (Fault.malformed(b'"text"'), "malformed"),
    (Fault.malformed(b'{"choices": "none"}'), "malformed"),
    (Fault.malformed(b'{"choices": [1]}'), "malformed"),
    (Fault.malformed(b'{"choices": [{"message": {"content": ["a"]}}]}'), "malformed"),
    (Fault.error_as_success(), "malformed"),
    (Fault.no_choices(), "malformed"),
    (Fault.empty_choices(), "malformed"),
    (Fault.no_message(), "malformed"),
    (Fault.stale_model(), "stale"),
]


@pytest.mark.parametrize(("fault", "kind"), TRANSIENT, ids=named)
def test_transient_errors_are_retried_and_each_call_is_logged_once(
    server: FakeOpenAI, fault: Fault, kind: ErrorKind
) -> None:
    call_log, requests = MemoryCallLog(), [ask(number) for number in range(4)]
    server.plan.script = {0: fault, 2: fault}
    patient = 0.25 if kind == "timeout" else 5.0
    replies = outcomes(endpoint_of(server, call_log=call_log, timeout_seconds=patient), requests)
    assert texts(replies) == [right(request) for request in requests]
    assert server.counts[fault.name] == 2
    calls = {call.completion_tokens: call for call in call_log.calls}
    assert len(call_log.calls) == 4
    assert all(call.ok and call.retries == len(call.faults) for call in call_log.calls)
    met = [name for call in call_log.calls for name in call.faults]
    assert met.count(kind) >= 2
    # half a JSON leaves its other half on the connection, for the request after it
    assert set(met) <= {kind} | ({"connection"} if fault.name == "short_length" else set())
    assert all(call.latency <= call.waited for call in calls.values())
    spoken = sum(len(words(right(request))) + 1 for request in requests)
    assert sum(call.completion_tokens for call in call_log.calls) == spoken


LASTING: list[tuple[Fault, ErrorKind, str, int]] = [
    (Fault.quota(), "quota", "no credit left", 1),
    (Fault.unauthorized(), "key", "check the variable MY_KEY", 1),
    (Fault.forbidden(), "key", "check the variable MY_KEY", 1),
    (Fault.unknown_model(), "model", "check base_urls (most end in /v1) and the model's name", 4),
    (Fault.no_response_format(), "refused", "fix the request", 4),
]
"""The last number: requests until it is known, with the questions whether it is about a field or this sample."""


@pytest.mark.parametrize(("fault", "kind", "advice", "asked"), LASTING, ids=named)
def test_a_permanent_error_is_raised_at_once_with_server_cause_and_remedy(
    server: FakeOpenAI, fault: Fault, kind: ErrorKind, advice: str, asked: int
) -> None:
    call_log = MemoryCallLog()
    server.plan.fail_next(fault, times=9)
    raised = failed(endpoint_of(server, call_log=call_log, key_env="MY_KEY"))
    assert raised.kind == kind
    for part in (server.url, MODEL, advice):
        assert part in str(raised)
    assert len(server.requests) == asked
    (call,) = call_log.calls
    assert (call.ok, call.faults, call.retries, call.completion_tokens) == (False, (kind,), 0, 0)
    assert (call.model, call.server) == (MODEL, f"127.0.0.1:{server.port}")
    assert call_log.kept == {}


def test_transient_errors_before_a_permanent_one_count_as_retries(server: FakeOpenAI) -> None:
    call_log = MemoryCallLog()
    server.plan.script = {0: Fault.server_error(), 1: Fault.drop(), 2: Fault.quota()}
    assert failed(endpoint_of(server, call_log=call_log)).kind == "quota"
    (call,) = call_log.calls
    assert (call.retries, call.faults) == (2, ("server_error", "connection", "quota"))


DATA: list[tuple[Fault, Reply]] = [
    (Fault.null_content(), Reply("", 11, "stop")),
    (Fault.empty_text(), Reply("", 11, "stop")),
    (Fault.refusal("No, I cannot."), Reply("", 11, "stop", refusal="No, I cannot.")),
    (Fault.content_filter(), Reply(right(ask()), 11, "stop")),
    (Fault.cut_short(), Reply(right(ask())[:10], 11, "length")),
    (Fault.no_usage(), Reply(right(ask()), 0, "stop")),
    (Fault.no_cache_details(), Reply(right(ask()), 11, "stop")),
    (Fault.wrong_text("No."), Reply("No.", 11, "stop")),
]


@pytest.mark.parametrize(("fault", "reply"), DATA, ids=named)
def test_a_useless_answer_is_data_and_not_retried(server: FakeOpenAI, fault: Fault, reply: Reply) -> None:
    call_log = MemoryCallLog()
    server.plan.fail_next(fault)
    assert outcomes(endpoint_of(server, call_log=call_log), [ask()]) == [reply]
    assert len(server.requests) == 1
    (call,) = call_log.calls
    assert (call.ok, call.retries, call.faults, call.finish) == (True, 0, (), reply.finish)
    assert call.completion_tokens == reply.tokens


@pytest.mark.parametrize(
    "usage", ['"many"', "[]", "{}", '{"completion_tokens": "x", "prompt_tokens_details": 3}']
)
def test_an_answer_that_counts_no_tokens_counts_none(server: FakeOpenAI, usage: str) -> None:
    call_log = MemoryCallLog()
    choice = '{"index": 0, "finish_reason": null, "message": {"role": "assistant", "content": "So."}}'
    body = f'{{"model": "{MODEL}", "choices": [{choice}], "usage": {usage}}}'
    server.plan.fail_next(Fault.malformed(body.encode()))
    assert outcomes(endpoint_of(server, call_log=call_log), [ask()]) == [Reply("So.", 0, "stop")]
    (call,) = call_log.calls
    assert (call.prompt_tokens, call.cached_tokens, call.completion_tokens) == (0, 0, 0)


@pytest.mark.parametrize(
    ("asked", "form", "least"), [(0.3, "seconds", 0.3), (300, "milliseconds", 0.3), (1.5, "date", 0.5)]
)
def test_nothing_is_sent_before_the_pause_that_the_server_asks_for_is_over(
    server: FakeOpenAI, asked: float, form: str, least: float
) -> None:
    seconds = asked / 1000 if form == "milliseconds" else asked
    server.plan.fail_next(Fault.rate_limit(seconds, form))  # type: ignore[arg-type]  # parametrized
    replies = outcomes(endpoint_of(server, in_flight=1), [ask(number) for number in range(3)])
    assert len(texts(replies)) == 3
    first, *later = [record.arrived for record in server.requests]
    assert len(later) == 3
    assert min(later) - first >= 0.9 * least  # those that waited for their turn keep to it as well


def test_retry_after_0_is_ignored_and_one_beyond_the_patience_ends_the_request(server: FakeOpenAI) -> None:
    server.plan.fail_next(Fault.rate_limit(0), times=100000)
    assert failed(endpoint_of(server, patience_seconds=0.2)).kind == "rate_limit"
    assert 2 < len(server.requests) < 40  # 0 does not mean at once
    server.plan.heal()
    server.plan.fail_next(Fault.rate_limit(86400))
    raised = failed(endpoint_of(server, patience_seconds=60))
    assert (raised.kind, server.counts["rate_limit"]) == ("rate_limit", len(server.requests))
    assert "asks to wait 86400 s" in str(raised)


def test_the_pauses_grow(server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "BACKOFF", wait_exponential(multiplier=0.02, max=0.16))
    server.plan.fail_next(Fault.server_error(502), times=5)
    texts(outcomes(endpoint_of(server), [ask()]))
    arrived = [record.arrived for record in server.requests]
    gaps = [late - early for early, late in pairwise(arrived)]
    assert all(gap >= 0.9 * pause for gap, pause in zip(gaps, (0.02, 0.04, 0.08, 0.16, 0.16), strict=True))


@pytest.mark.parametrize(("attempts", "most"), [(1, 0.5), (2, 1.0), (4, 4.0), (7, 30.0), (50, 30.0)])
def test_the_pauses_by_default_are_drawn_up_to_half_a_minute(attempts: int, most: float) -> None:
    state = RetryCallState(None, None, (), {})  # type: ignore[arg-type]  # only the number of tries counts
    state.attempt_number = attempts
    drawn = [BACKOFF(state) for _ in range(200)]
    assert 0 <= min(drawn) < max(drawn) <= most
    assert max(drawn) > 0.8 * most


def test_patience_ends(server: FakeOpenAI) -> None:
    call_log = MemoryCallLog()
    server.plan.fail_next(Fault.server_error(503), times=100000)
    raised = failed(endpoint_of(server, call_log=call_log, patience_seconds=0.2))
    assert raised.kind == "overloaded"
    assert re.search(rf"{server.url} did not answer for {MODEL} after \d+ attempts: HTTP 503", str(raised))
    assert "the same run resumes from them" in str(raised)
    (call,) = call_log.calls
    assert len(server.requests) == len(call.faults) == call.retries + 1 > 2
    assert call.waited >= 0.2


def test_patience_is_for_failing_and_not_for_waiting(server: FakeOpenAI) -> None:
    server.latency = 0.1
    requests = [ask(number) for number in range(6)]
    server.plan.script = {5: Fault.server_error()}
    endpoint = endpoint_of(server, in_flight=1, patience_seconds=0.3)
    assert texts(outcomes(endpoint, requests)) == [right(request) for request in requests]


@pytest.mark.parametrize("fault", [Fault.malformed(), Fault.no_choices(), Fault.stale_model()], ids=named)
def test_malformed_answers_that_may_cost_money_are_given_up_soon(server: FakeOpenAI, fault: Fault) -> None:
    server.plan.fail_next(fault, times=100)
    raised = failed(endpoint_of(server))
    assert raised.kind == ("stale" if fault.name == "stale_model" else "malformed")
    assert len(server.requests) == MAX_MALFORMED


@pytest.mark.parametrize("dialect", ["openai", "vllm"])
def test_a_wrong_model_is_a_permanent_error(dialect: str) -> None:
    with FakeOpenAI("another", dialect=dialect) as other:  # type: ignore[arg-type]  # parametrized
        endpoint = endpoint_of(other, verify=lambda _: MODEL)
        raised = failed(endpoint)
    assert raised.kind == "model"
    assert "does not exist" in str(raised)


CONTEXT = 60


@pytest.mark.parametrize(
    ("dialect", "prompt", "kind"),
    [("vllm", CONTEXT, "context"), ("vllm", CONTEXT + 9, "context"), ("openai", CONTEXT + 9, "context")],
)
def test_a_history_that_fills_the_context_is_recognised(dialect: str, prompt: int, kind: str) -> None:
    with FakeOpenAI(MODEL, dialect=dialect, n_ctx=CONTEXT) as server:  # type: ignore[arg-type]
        long = ChatRequest([{"role": "user", "content": "word " * (prompt - 1) + "end"}], 8)
        short, full = outcomes(endpoint_of(server, in_flight=1), [ask(), long])
        assert isinstance(short, Reply)
        assert getattr(full, "kind", full) == kind
        assert len(server.requests) <= 3


def test_more_tokens_wanted_than_the_context_has_is_no_overflow() -> None:
    with FakeOpenAI(MODEL, dialect="vllm", n_ctx=CONTEXT) as server:
        raised = failed(endpoint_of(server), ask(max_tokens=CONTEXT + 1))
    assert raised.kind == "refused"
    assert "max_tokens=61 cannot be greater" in str(raised)


def test_cached_and_fresh_tokens_are_on_record(server: FakeOpenAI) -> None:
    call_log = MemoryCallLog()
    endpoint = endpoint_of(server, call_log=call_log, in_flight=1)
    assert len(texts(outcomes(endpoint, [ask(0), ask(0, seed=7)]))) == 2
    first, second = call_log.calls
    assert (first.prompt_tokens, first.cached_tokens) == (5, 0)
    assert (second.prompt_tokens, second.cached_tokens) == (5, 5)
    assert first.served_model == MODEL


def test_logged_replies_are_reused_and_equal_concurrent_requests_are_sent_once(
    server: FakeOpenAI,
) -> None:
    call_log = MemoryCallLog()
    server.latency = 0.05
    once = texts(outcomes(endpoint_of(server, call_log=call_log), [ask()] * 5 + [ask(seed=1)]))
    assert len(set(once)) == 2
    assert len(server.requests) == len(call_log.calls) == 2
    assert texts(outcomes(endpoint_of(server, call_log=call_log), [ask()])) == once[:1]
    assert len(server.requests) == 2


def test_a_book_that_cannot_write_stops_the_request_at_once(server: FakeOpenAI) -> None:
    class Full(MemoryCallLog):
        def keep(self, key: str, reply: Reply, call: object) -> None:
            raise OSError("no space left")

    (outcome,) = outcomes(endpoint_of(server, call_log=Full()), [ask()])
    assert isinstance(outcome, OSError)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("dialect", "extra"),
    [("openai", {}), ("vllm", {"structured_outputs": {"regex": "Thought: .+\nAction: look"}})],
)
def test_requests_are_what_a_strict_server_takes(dialect: str, extra: dict[str, object]) -> None:
    with FakeOpenAI(MODEL, dialect=dialect) as server:  # type: ignore[arg-type]
        full = ask(top_p=0.9, stop=("\n\n",), extra=extra)
        bare = ask(temperature=0.0, seed=None, limit="max_completion_tokens", extra=extra)
        assert len(texts(outcomes(endpoint_of(server, in_flight=1), [full, bare]))) == 2
        assert server.refusals == []
        bodies = [{**record.body} for record in server.requests]
    shared = {"model": MODEL, "messages": [{"role": "user", "content": "You are in room 0."}], **extra}
    assert bodies == [
        {**shared, "max_tokens": 48, "temperature": 1.0, "top_p": 0.9, "seed": 0, "stop": ["\n\n"]},
        {**shared, "max_completion_tokens": 48, "temperature": 0.0},
    ]


def test_an_error_that_nobody_expects_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        as_request_error(ZeroDivisionError())
    same = RequestError("timeout", "no answer in time")
    assert as_request_error(same) is same


def test_a_time_out_is_counted_from_the_sending(server: FakeOpenAI) -> None:
    call_log = MemoryCallLog()
    server.latency = 0.1
    endpoint = endpoint_of(server, call_log=call_log, in_flight=1, timeout_seconds=0.4)
    began = time.monotonic()
    assert len(texts(outcomes(endpoint, [ask(number) for number in range(8)]))) == 8
    assert time.monotonic() - began > 0.4
    assert all(call.faults == () for call in call_log.calls)
    assert max(call.waited for call in call_log.calls) > 0.4 > 0.35
    assert max(call.latency for call in call_log.calls) < 0.4


def test_a_failing_server_is_logged_once_until_it_answers_again(server: FakeOpenAI) -> None:
    logged: list[str] = []
    endpoint = endpoint_of(server, log=logged.append)
    server.plan.fail_next(Fault.server_error(500), times=5)
    assert all(isinstance(reply, Reply) for reply in outcomes(endpoint, [ask(i) for i in range(4)]))
    failing = [line for line in logged if f"{server.url} fails" in line]
    answered = [line for line in logged if "answers again" in line]
    assert failing[0].startswith(f"{server.url} fails, requests to it are retried: server_error")
    assert 1 <= len(failing) == len(answered) <= 5


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "0.0.0.0"])
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"])
def test_no_proxy_of_the_environment_leads_to_this_machine(
    variable: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with FakeOpenAI(MODEL, dialect="vllm", host="0.0.0.0") as server:
        where = EndpointConfig(base_urls=(f"http://{host}:{server.port}/v1",), patience_seconds=1)
        endpoint = Endpoint(where, None, "policy", MODEL, MemoryCallLog(), lambda _: MODEL)
        assert texts(outcomes(endpoint, [ask()])) == [right(ask())]


@pytest.mark.parametrize("proxy", ["socks4://user:hidden@127.0.0.1:9", "socks5://user:hidden@127.0.0.1:9"])
def test_a_proxy_that_cannot_be_used_is_a_fault_that_names_its_variables(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    where = EndpointConfig(base_urls=("http://api.example.org/v1",), patience_seconds=0.1)
    endpoint = Endpoint(where, None, "policy", MODEL, MemoryCallLog(), lambda _: MODEL)
    raised = failed(endpoint)
    assert raised.kind == "refused"
    assert "ALL_PROXY names cannot be used" in str(raised)
    assert "hidden" not in str(raised)
