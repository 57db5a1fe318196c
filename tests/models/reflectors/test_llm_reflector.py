"""Reflections by a language model: structured replies, checks, retries with the reason, and giving up."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from configs.calibration import CalibrationConfig
from configs.servers import EndpointConfig
from models.client.diagnosis import QUESTION
from models.client.endpoint import Endpoint
from models.reflectors.checks import MOST_WORDS, Draft, problem_with
from models.reflectors.llm_reflector import LLMReflector
from models.reflectors.prompt import conversation
from models.reflectors.reflector import NoReflection, Reflection, ReflectionFault, ReflectionRequest
from steca.types import Step
from tests.support.call_logs import MemoryCallLog
from tests.support.fake_openai.replies import Answer, Request, error_reply, wanted_schema
from tests.support.fake_openai.server import FakeOpenAI, Fault, Record

MODEL = "reflector-1"


def is_question(record: Record) -> bool:
    """Whether it was only asked to see what the server takes."""
    return bool(record.body["messages"] == QUESTION)


BEFORE = Step("Thought: s\nAction: go to box 1", "s", "go to box 1", "The box 1 is closed.", True, "expert")
DEVIATED = Step("Thought: t\nAction: look", "t", "look", "You are facing box 1.", True, "deviation")
GOOD = "Looking around did not help, as the box 1 is still closed. I open it."


def request(number: int = 0, required: str = "open box 1") -> ReflectionRequest:
    first = f"You are in room {number}. You see a box 1."
    return ReflectionRequest("put a mug on a shelf", first, (BEFORE, DEVIATED), required)


def ungrounded(asked: ReflectionRequest, thought: str) -> list[str]:
    """Names (word and number) that are not in the request."""
    seen = " ".join([asked.first_observation, asked.required_action, *(s.observation for s in asked.steps)])
    return [name for name in re.findall(r"[a-z]+ \d+", thought) if name not in seen]


def writes(thought: str, action: str = "open box 1") -> Answer:
    """Answers in the requested format."""

    def answer(asked: Request, _: int) -> str:
        if wanted_schema(asked):
            return json.dumps({"thought": thought, "action": action})
        return f"Thought: {thought}\nAction: {action}"

    return answer


@contextmanager
def reflector(
    server: FakeOpenAI,
    call_log: MemoryCallLog | None = None,
    *,
    log: Callable[[str], None] = lambda line: None,
    least_usable: float = 0.1,
    **config: object,
) -> Iterator[LLMReflector]:
    settings = CalibrationConfig.model_validate({"reflector": "llm", "model": MODEL, **config})
    where = EndpointConfig(base_urls=(server.url,), patience_seconds=0.5)
    endpoint = Endpoint(where, "sk-test", "reflection", MODEL, call_log or MemoryCallLog(), lambda _: MODEL)
    subject = LLMReflector(endpoint, settings, ungrounded, least_usable, log)
    try:
        yield subject
    finally:
        subject.close()


def test_a_valid_reply_is_the_reflection_in_the_structured_form() -> None:
    with FakeOpenAI(MODEL, answer=writes(GOOD)) as server, reflector(server) as subject:
        assert subject.reflect([request()]) == [Reflection(GOOD, MODEL, 1)]
        assert server.refusals == []
        (seen,) = server.requests
    text = seen.body["messages"][0]["content"]
    for told in (
        "You are in room 0",
        "The box 1 is closed.",
        "You are facing box 1.",
        "open box 1",
        "Action: look",
    ):
        assert told in text
    assert wanted_schema(seen.body)["required"] == ["thought", "action"]


def test_replies_are_in_request_order_and_progress_is_reported() -> None:
    def answer(asked: Request, _: int) -> str:
        room = re.search(r"room \d+", asked["messages"][0]["content"])
        assert room
        return json.dumps({"thought": f"In {room[0]} that did not help.", "action": "open box 1"})

    heard: list[tuple[int, int]] = []
    with FakeOpenAI(MODEL, answer=answer, latency=0.2) as server, reflector(server) as subject:
        out = subject.reflect([request(i) for i in range(40)], lambda *seen: heard.append(seen))
        assert server.max_concurrency > 8
    assert [one.thought for one in out if isinstance(one, Reflection)] == [
        f"In room {i} that did not help." for i in range(40)
    ]
    assert heard == [(i, 40) for i in range(1, 41)]


@pytest.mark.parametrize(
    ("thought", "action", "reason"),
    [
        ("", "open box 1", "its thought is empty"),
        ("thought", "open box 1", "says hardly anything: 'thought'"),
        ("I see vase 9 now. I open box 1.", "open box 1", "never been seen: vase 9"),
        (GOOD, "open box 2", "is 'open box 2' and not the required 'open box 1'"),
        ("It was no use.\nAction: open box 1", "open box 1", "only the thought itself"),
        ("The expert would open box 1.", "open box 1", "says 'expert'"),
        ("I was told to open box 1.", "open box 1", "says 'was told'"),
        ("word " * (MOST_WORDS + 1), "open box 1", "more than 120"),
    ],
)
def test_what_cannot_be_trained_on_is_sent_back_with_the_reason(
    thought: str, action: str, reason: str
) -> None:
    def answer(asked: Request, number: int) -> str:
        return writes(thought, action)(asked, number) if number == 0 else writes(GOOD)(asked, number)

    with FakeOpenAI(MODEL, answer=answer) as server, reflector(server) as subject:
        assert subject.reflect([request()]) == [Reflection(GOOD, MODEL, 2)]
        first, second = (seen.body["messages"] for seen in server.requests)
        assert server.refusals == []
    assert second[: len(first)] == first
    assert second[-2]["role"] == "assistant"
    assert reason in second[-1]["content"]


def test_after_the_last_attempt_there_is_no_reflection_but_a_reason() -> None:
    bad = writes("I see vase 9. I open box 1.")
    with FakeOpenAI(MODEL, answer=bad) as server, reflector(server, attempts=3) as subject:
        (out,) = subject.reflect([request()])
        assert len(server.requests) == 3
    assert out == NoReflection("it mentions what has never been seen: vase 9", 3)


def test_a_reply_that_was_cut_off_says_so() -> None:
    with (
        FakeOpenAI(MODEL, answer=writes("so " * 80)) as server,
        reflector(server, max_tokens=20, attempts=1) as subject,
    ):
        assert subject.reflect([request()]) == [NoReflection("it was cut off after 20 tokens", 1)]


def test_a_transcript_that_fills_the_models_context_is_refused_and_the_others_are_reflected_on() -> None:
    long = Step(DEVIATED.text, "t", "look", "You see a box 1. " * 400, True, "deviation")
    filling = ReflectionRequest("put a mug on a shelf", "You see a box 1.", (BEFORE, long), "open box 1")
    with FakeOpenAI(MODEL, answer=writes(GOOD), n_ctx=1500) as server, reflector(server) as subject:
        refused, reflected = subject.reflect([filling, request()])
    assert reflected == Reflection(GOOD, MODEL, 1)
    assert isinstance(refused, NoReflection)
    assert refused.attempts == 1
    assert refused.reason.startswith(
        "the transcript and the replies so far do not fit into the model's context (HTTP 400: This model's maximum"
    )


def test_a_prompt_that_the_provider_filters_is_refused_and_the_form_stays() -> None:
    flagged = error_reply("openai", 400, "The prompt was flagged.", code="content_filter")
    with FakeOpenAI(MODEL, answer=writes(GOOD)) as server, reflector(server) as subject:
        server.plan.fail_next(Fault("filtered", lambda record, honest: flagged), times=1)
        assert subject.reflect([request()]) == [
            NoReflection(
                "the provider refuses to answer this transcript (HTTP 400: The prompt was flagged.)", 1
            )
        ]
        assert subject.reflect([request(1)]) == [Reflection(GOOD, MODEL, 1)]
        assert ["response_format" in seen.body for seen in server.requests] == [True, True]


def test_a_server_without_structured_output_is_asked_for_plain_text() -> None:
    with (
        FakeOpenAI(MODEL, answer=writes(GOOD), unsupported=frozenset({"response_format"})) as server,
        reflector(server) as subject,
    ):
        assert subject.reflect([request()]) == [Reflection(GOOD, MODEL, 1)]
        assert subject.reflect([request(1)]) == [Reflection(GOOD, MODEL, 1)]
        asked = ["response_format" in seen.body for seen in server.requests if not is_question(seen)]
    assert asked == [True, False, False]  # it is not tried again


def test_a_wrong_key_fails_at_once_and_is_nowhere_in_the_message() -> None:
    with (
        FakeOpenAI(MODEL, answer=writes(GOOD), key="sk-right", shows_key=True) as server,
        reflector(server) as subject,
        pytest.raises(ReflectionFault, match="refuses the key") as fault,
    ):
        subject.reflect([request(i) for i in range(5)])
    assert "sk-test" not in repr(fault.value)


def test_replies_before_a_permanent_error_are_kept_and_reused() -> None:
    call_log = MemoryCallLog()
    with FakeOpenAI(MODEL, answer=writes(GOOD)) as server:
        with reflector(server, call_log) as subject:
            subject.reflect([request(i) for i in range(6)])
            server.plan.fail_next(Fault.quota(), times=1)
            with pytest.raises(ReflectionFault, match="credit"):
                subject.reflect([request(i) for i in range(8)])
        with reflector(server, call_log) as subject:
            paid = sum(record.fault == "" for record in server.requests)
            assert len(subject.reflect([request(i) for i in range(8)])) == 8
            assert sum(record.fault == "" for record in server.requests) == 8
    assert paid >= 6
    assert sum(not call.ok for call in call_log.calls) == 1


def test_the_check_of_the_action_forgives_blanks_and_case_only() -> None:
    assert problem_with(Draft(GOOD, " Open  box 1."), request(), ungrounded) is None
    assert problem_with(Draft(GOOD, "open box"), request(), ungrounded)
    assert problem_with(None, request(), ungrounded) == (
        "it does not have the required form: one thought and one action"
    )


def test_both_forms_show_the_same_context() -> None:
    structured, plain = (conversation(request(), form)[0]["content"] for form in (True, False))
    shared = structured[: structured.index("Answer with JSON")]
    assert plain.startswith(shared)
    assert "Action: open box 1" in plain
