"""Unsupported fields are found by probing, whatever the server's message, and left out from then on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tenacity import wait_random_exponential

from models.client import endpoint as subject
from models.client.chat_request import ChatRequest
from models.client.diagnosis import QUESTION
from models.client.endpoint import Endpoint, EndpointFault
from steca.vocabulary import CallPurpose
from tests.support.call_logs import MemoryCallLog
from tests.support.endpoints import MODEL, ask, endpoint_of, failed, outcomes, texts
from tests.support.fake_openai.replies import json_reply
from tests.support.fake_openai.server import FakeOpenAI, Fault
from tests.support.fake_openai.wire import Reply

SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "turn",
        "schema": {
            "type": "object",
            "properties": {"thought": {"type": "string"}},
            "required": ["thought"],
            "additionalProperties": False,
        },
    },
}
PLAIN: Any = [{"role": "user", "content": "Answer with a line of text."}]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "BACKOFF", wait_random_exponential(multiplier=0.005, max=0.03))


def full(number: int = 0, **changes: Any) -> ChatRequest:
    """A request with every field that there is."""
    fields: dict[str, Any] = {
        "limit": "max_completion_tokens", "top_p": 0.9, "stop": ("\n\n\n",), "extra": {"response_format": SCHEMA},
        "plain": PLAIN, **changes,
    }  # fmt: skip
    return ask(number, **fields)


def says_field(status: int) -> Callable[[str], Reply]:
    return lambda name: json_reply(
        status, {"error": {"message": f"Unknown parameter: '{name}'", "code": status}}
    )


def says_where(status: int) -> Callable[[str], Reply]:
    """As FastAPI: Mistral, TGI and many small servers."""
    wrong = {"type": "extra_forbidden", "msg": "Extra inputs are not permitted"}
    return lambda name: json_reply(status, {"detail": [{**wrong, "loc": ["body", name]}]})


def says_nothing(status: int) -> Callable[[str], Reply]:
    return lambda _: json_reply(status, {"error": "Bad request."})


def reflecting(server: FakeOpenAI, logged: list[str] | None = None, **more: Any) -> Endpoint:
    says = (logged if logged is not None else []).append
    return endpoint_of(server, purpose="reflection", log=says, verify=lambda _: MODEL, **more)


def real(server: FakeOpenAI) -> list[dict[str, Any]]:
    """The bodies that were answered and not only asked to see what the server takes."""
    answered = [record.body for record in server.requests if record.status == 200]
    return [body for body in answered if body["messages"] != QUESTION]


OPTIONAL = ["temperature", "top_p", "seed", "stop", "max_completion_tokens", "response_format"]


WORDINGS = [
    (says_field, 400), (says_where, 422), (says_nothing, 404), (says_nothing, 405), (says_nothing, 415),
    (says_nothing, 500), (says_field, 501),
]  # fmt: skip


@pytest.mark.parametrize(("says", "status"), WORDINGS)
@pytest.mark.parametrize("field", OPTIONAL)
def test_an_unknown_field_is_left_out_or_goes_by_its_other_name(
    field: str, says: Callable[[int], Callable[[str], Reply]], status: int
) -> None:
    logged: list[str] = []
    unsupported, refuses = frozenset({field}), says(status)
    with FakeOpenAI(MODEL, unsupported=unsupported, refuses=refuses) as server:
        endpoint = reflecting(server, logged, patience_seconds=3.0)
        wanted = [full(number) for number in range(12)]
        keys = [endpoint.key(request) for request in wanted]
        call_log = endpoint._call_log
        assert len(texts(outcomes(endpoint, wanted))) == 12
        assert server.refusals == []
        bodies, asked = real(server), len(server.requests)
        assert {frozenset(body) for body in bodies} == {frozenset(bodies[0])}
    assert isinstance(call_log, MemoryCallLog)
    assert set(keys) <= set(call_log.kept)  # filed under what was wanted
    missing = set(full().fields()) - set(bodies[0])
    assert missing == {field}
    if field == "max_completion_tokens":
        assert {body["max_tokens"] for body in bodies} == {48}
    if field == "response_format":
        assert all(body["messages"] == PLAIN for body in bodies)
    told = [line for line in logged if "does not support" in line]
    assert len(told) == (2 if field == "response_format" else 1)
    assert (
        asked <= 12 + 12 * (2 if status >= 500 else 1) + 20
    )  # each refused once or twice, and some questions


@pytest.mark.parametrize("says", [says_field, says_nothing])
def test_several_unknown_fields_are_found_one_by_one(says: Callable[[int], Callable[[str], Reply]]) -> None:
    unsupported = frozenset({"temperature", "seed", "max_completion_tokens", "json_schema"})
    with FakeOpenAI(MODEL, unsupported=unsupported, refuses=says(400)) as server:
        texts(outcomes(reflecting(server), [full()]))
        (body,) = real(server)
        assert server.refusals == []
        assert len(server.requests) <= 16
    assert body.keys() == {"model", "messages", "max_tokens", "top_p", "stop", "response_format"}
    assert body["response_format"] == {"type": "json_object"}
    assert body["messages"] != PLAIN


def test_the_older_name_of_the_limit_is_learned_too() -> None:
    with FakeOpenAI(MODEL, unsupported=frozenset({"max_tokens"})) as server:
        texts(outcomes(endpoint_of(server, verify=lambda _: MODEL), [ask(), ask(1)]))
        assert {body["max_completion_tokens"] for body in real(server)} == {48}


DECIDING = ["temperature", "top_p", "seed", "stop", "structured_outputs"]


@pytest.mark.parametrize("status", [400, 422, 500])
@pytest.mark.parametrize("field", DECIDING)
def test_what_decides_a_policys_turns_is_never_left_out(field: str, status: int) -> None:
    request = ask(top_p=0.9, stop=("\n\n",), extra={"structured_outputs": {"regex": ".*"}})
    logged: list[str] = []
    with FakeOpenAI(
        MODEL, dialect="vllm", unsupported=frozenset({field}), refuses=says_nothing(status)
    ) as server:
        endpoint = endpoint_of(server, log=logged.append)
        raised = failed(endpoint, request)
        assert real(server) == []
    assert raised.kind == "unsupported"
    assert f"it does not support {field} (HTTP {status}: Bad request.)" in str(raised)
    assert "vLLM" in str(raised)
    assert not [line for line in logged if "left out" in line]


@pytest.mark.parametrize("purpose", ["policy", "reflection"])
@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_server_that_refuses_everything_teaches_nothing(status: int, purpose: CallPurpose) -> None:
    with FakeOpenAI(MODEL) as server:
        server.plan.fail_when(lambda _: True, Fault.refusing(status, {"error": "temperature and seed"}))
        endpoint = endpoint_of(server, purpose=purpose, verify=lambda _: MODEL)
        raised = outcomes(endpoint, [full(number, extra={}) for number in range(10)])
        assert len(server.requests) <= 10 + 12
    assert {getattr(one, "kind", one) for one in raised} == {"model" if status == 404 else "refused"}
    assert endpoint.backends[0].capabilities.unsupported == frozenset()


@pytest.mark.parametrize("status", [400, 422])
def test_a_refused_sample_that_names_a_field_switches_nothing_off(status: int) -> None:
    with FakeOpenAI(MODEL) as server:
        fault = Fault.refusing(
            status, {"error": {"message": "response_format: max_tokens must be at least 1"}}
        )
        server.plan.fail_when(lambda record: "room 3" in str(record.body["messages"]), fault)
        endpoint = reflecting(server)
        out = outcomes(endpoint, [full(number) for number in range(6)])
        assert {"response_format" in body for body in real(server)} == {True}
    assert endpoint.backends[0].capabilities.unsupported == frozenset()
    (odd,) = (one for one in out if isinstance(one, BaseException))
    assert isinstance(odd, EndpointFault)
    assert odd.kind == "refused_sample"


def test_an_unsteady_server_teaches_nothing() -> None:
    with FakeOpenAI(MODEL) as server:
        server.plan.fail_next(Fault.server_error(500), times=3)
        endpoint = reflecting(server)
        texts(outcomes(endpoint, [full()]))
        assert real(server)[0].keys() == {"model", *full().fields()}
    assert endpoint.backends[0].capabilities.unsupported == frozenset()


def test_each_server_is_known_by_itself() -> None:
    with FakeOpenAI(MODEL, unsupported=frozenset({"seed"})) as old, FakeOpenAI(MODEL) as new:
        endpoint = endpoint_of(old, new, purpose="reflection", verify=lambda _: MODEL, in_flight=2)
        texts(outcomes(endpoint, [full(number) for number in range(16)]))
        assert {"seed" in body for body in real(old)} == {False}
        assert {"seed" in body for body in real(new)} == {True}


@pytest.fixture
def limited() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(MODEL, unsupported=frozenset({"seed"})) as server:
        yield server


def test_the_questions_are_on_record_and_a_question_of_before_is_no_proof(limited: FakeOpenAI) -> None:
    call_log = MemoryCallLog()
    texts(outcomes(reflecting(limited, call_log=call_log), [full()]))
    asked = sum(record.status == 200 for record in limited.requests)
    assert len(call_log.calls) == asked == 2
    (call,) = (call for call in call_log.calls if call.faults)
    assert (call.faults, call.retries, call.ok) == (("unsupported",), 1, True)
    before = len(limited.requests)
    texts(outcomes(reflecting(limited, call_log=call_log), [full(1)]))
    assert len(limited.requests) - before == 4  # refused, asked with all, asked without, answered
