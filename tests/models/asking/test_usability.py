"""A run whose reflections are nearly all unusable stops early with the reason; a few bad ones do not stop it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tenacity import wait_random_exponential

from models.asking.usability import PROBE_SAMPLES, RATE_SAMPLES, UsabilityMonitor
from models.client import endpoint as endpoints
from models.client.calls import Reply
from models.reflectors.llm_reflector import LLMReflector
from models.reflectors.reflector import NoReflection, Reflection, ReflectionFault
from tests.models.reflectors.test_llm_reflector import GOOD, MODEL, is_question, reflector, request, writes
from tests.support.call_logs import MemoryCallLog
from tests.support.fake_openai.replies import Answer, Request
from tests.support.fake_openai.server import FakeOpenAI, Fault


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "BACKOFF", wait_random_exponential(multiplier=0.005, max=0.03))


def counted(usable: int, unusable: int, least: float = 0.1, new: bool = True) -> UsabilityMonitor:
    found = UsabilityMonitor("m", least)
    for _ in range(usable):
        found.record(None, GOOD, new)
    for number in range(unusable):
        found.record(f"its action is 'look {number}' and not 'open box 1'", "Action: look", new)
    return found


@pytest.mark.parametrize(
    ("usable", "unusable", "stops"),
    [
        (0, PROBE_SAMPLES - 1, False),
        (0, PROBE_SAMPLES, True),
        (1, PROBE_SAMPLES, False),
        (1, RATE_SAMPLES - 2, False),
        (1, RATE_SAMPLES - 1, True),
        (2, RATE_SAMPLES - 2, False),
        (3, 40, True),
        (40, 3, False),
    ],
)
def test_when_it_stops(usable: int, unusable: int, stops: bool) -> None:
    assert counted(usable, unusable).too_low == stops
    assert not counted(usable, unusable, least=0).too_low
    assert not counted(usable, unusable, new=False).too_low


def test_reasons_are_counted_by_their_kind() -> None:
    found = counted(1, 3)
    found.record("its thought is empty", "", True)
    assert found.mostly_unusable
    assert found.summary() == (
        "1 of 5 reflections by m were usable; top problem (3 times): its action is 'look 0' and not 'open box 1'"
    )
    assert not counted(3, 3).mostly_unusable


def useless(asked: Request, _: int) -> str:
    return "Let me tell you a story instead. " * 20


@contextmanager
def logging_reflector(
    server: FakeOpenAI, call_log: MemoryCallLog, **config: object
) -> Iterator[tuple[LLMReflector, list[str]]]:
    logged: list[str] = []
    with reflector(server, call_log, log=logged.append, **config) as subject:
        yield subject, logged


def test_useless_replies_stop_the_run_before_all_are_paid_for_and_it_says_why() -> None:
    call_log = MemoryCallLog()
    with FakeOpenAI(MODEL, answer=useless, latency=0.01) as server, reflector(server, call_log) as subject:
        with pytest.raises(ReflectionFault) as fault:
            subject.reflect([request(number) for number in range(41)])
        assert len(server.requests) <= 2 * PROBE_SAMPLES * 3  # of 123
    said = str(fault.value)
    assert said.startswith(
        f"0 of {PROBE_SAMPLES} reflections by {MODEL} were usable; top problem ({PROBE_SAMPLES} times): it does not"
    )
    assert "an example: 'Let me tell you a story instead." in said
    assert "..." in said
    assert "least_usable=0" in said
    assert len(call_log.kept) == len(server.requests)


def test_the_same_run_resumes_with_the_next_samples_and_pays_nothing_twice() -> None:
    call_log = MemoryCallLog()
    asked: list[int] = []
    with FakeOpenAI(MODEL, answer=useless) as server:
        for _ in range(3):
            with reflector(server, call_log) as subject, pytest.raises(ReflectionFault):
                subject.reflect([request(number) for number in range(60)])
            asked.append(len(server.requests))
        bodies = [json.dumps(record.body) for record in server.requests]
        assert len(set(bodies)) == len(bodies)
        assert asked == sorted(set(asked))
        with reflector(server, call_log, least_usable=0) as subject:
            assert len(subject.reflect([request(number) for number in range(60)])) == 60


def test_a_reflector_that_needs_a_second_attempt_is_not_stopped() -> None:
    def corrected(asked: Request, number: int) -> str:
        return useless(asked, number) if len(asked["messages"]) == 1 else writes(GOOD)(asked, number)

    with FakeOpenAI(MODEL, answer=corrected) as server, reflector(server) as subject:
        out = subject.reflect([request(number) for number in range(30)])
    assert out == [Reflection(GOOD, MODEL, 2)] * 30


def sometimes(rooms: set[int]) -> Answer:
    def answer(asked: Request, number: int) -> str:
        room = re.search(r"room (\d+)", asked["messages"][0]["content"])
        good = room is not None and int(room[1]) in rooms
        return writes(GOOD)(asked, number) if good else useless(asked, number)

    return answer


def test_a_poor_reflector_continues_and_logs_a_summary() -> None:
    call_log = MemoryCallLog()
    with FakeOpenAI(MODEL, answer=sometimes({0, 1, 9, 12})) as server:
        with logging_reflector(server, call_log) as (subject, logged):
            out = subject.reflect([request(number) for number in range(16)])
            assert logged == []
        assert sum(isinstance(one, Reflection) for one in out) == 4
    assert logged == [
        f"4 of 16 reflections by {MODEL} were usable; top problem (12 times): it does not have the required "
        "form: one thought and one action"
    ]


def test_a_good_reflector_logs_nothing() -> None:
    with (
        FakeOpenAI(MODEL, answer=writes(GOOD)) as server,
        logging_reflector(server, MemoryCallLog()) as (subject, logged),
    ):
        subject.reflect([request(number) for number in range(16)])
    assert logged == []


def test_a_few_unusable_reflections_are_logged_and_stop_nothing() -> None:
    with (
        FakeOpenAI(MODEL, answer=useless) as server,
        logging_reflector(server, MemoryCallLog()) as (subject, logged),
    ):
        assert (
            len(subject.reflect([request(number) for number in range(PROBE_SAMPLES - 1)]))
            == PROBE_SAMPLES - 1
        )
    assert len(logged) == 1


def test_the_count_goes_on_over_batches() -> None:
    with FakeOpenAI(MODEL, answer=useless) as server, reflector(server) as subject:
        subject.reflect([request(number) for number in range(PROBE_SAMPLES - 1)])
        with pytest.raises(ReflectionFault):
            subject.reflect([request(PROBE_SAMPLES)])


def test_where_all_are_refused_it_stops_and_where_one_is_it_does_not() -> None:
    no = Fault.refusing(400, {"error": {"message": "I do not like [this]."}})
    with FakeOpenAI(MODEL, answer=writes(GOOD)) as server, reflector(server) as subject:
        server.plan.fail_when(lambda record: "room 3." in str(record.body), no)
        out = subject.reflect([request(number) for number in range(12)])
        assert out[3] == NoReflection(
            "the server refuses this transcript and answers others (HTTP 400: I do not like [this].)", 1
        )
        assert [one for number, one in enumerate(out) if number != 3] == [Reflection(GOOD, MODEL, 1)] * 11
    with FakeOpenAI(MODEL, answer=writes(GOOD)) as server, reflector(server) as subject:
        server.plan.fail_when(lambda record: not is_question(record), no)
        with pytest.raises(ReflectionFault, match="the server refuses this transcript"):
            subject.reflect([request(number) for number in range(41)])
        assert len(server.requests) <= 3 * PROBE_SAMPLES


def test_a_refusal_of_the_model_is_data_after_one_call() -> None:
    with FakeOpenAI(MODEL, answer=writes(GOOD)) as server, reflector(server) as subject:
        server.plan.fail_next(Fault.refusal("I'm sorry, I cannot help."))
        assert subject.reflect([request()]) == [
            NoReflection("the model refuses: I'm sorry, I cannot help.", 1)
        ]
        assert len(server.requests) == 1


THINKING = '<think>\n{"thought": "x", "action": "look"}\nhm</think>\n\n'


@pytest.mark.parametrize(
    "fault",
    [
        Fault.wrong_text(
            f'{THINKING}Sure:\n```json\n{{"thought": "{GOOD}", "action": "open box 1", "n": 1}}\n```'
        ),
        Fault.wrong_text(f"hm\n</think>\n**Thought:** {GOOD}\n**Action:** open box 1\nThat is all."),
        Fault.reasoning("hm", content=f"Thought: {GOOD}\nAction: open box 1"),
    ],
)
def test_a_reflector_that_thinks_aloud_first_is_understood(fault: Fault) -> None:
    with FakeOpenAI(MODEL, answer=writes(GOOD)) as server, reflector(server) as subject:
        server.plan.fail_next(fault)
        assert subject.reflect([request()]) == [Reflection(GOOD, MODEL, 1)]


def test_thinking_alone_is_an_empty_answer_and_says_so() -> None:
    with FakeOpenAI(MODEL, answer=writes(GOOD)) as server, reflector(server, attempts=1) as subject:
        server.plan.fail_next(Fault.reasoning(f"Thought: {GOOD}\nAction: open box 1"))
        assert subject.reflect([request()]) == [NoReflection("it holds no answer, only thinking", 1)]
        server.plan.fail_next(Fault.wrong_text("<think>" + "hm " * 400))
        assert subject.reflect([request(1)]) == [NoReflection("it holds no answer, only thinking", 1)]
    cut = lambda *_: "<think>" + "hm " * 400  # noqa: E731
    with FakeOpenAI(MODEL, answer=cut) as server, reflector(server, attempts=1, max_tokens=20) as subject:
        assert subject.reflect([request()]) == [
            NoReflection("it was cut off after 20 tokens of thinking, before its answer began", 1)
        ]


def test_thinking_is_not_sent_back_with_the_reason() -> None:
    with FakeOpenAI(MODEL, answer=writes(GOOD)) as server, reflector(server) as subject:
        server.plan.fail_next(Fault.wrong_text("<think>hm</think>No."))
        assert subject.reflect([request()]) == [Reflection(GOOD, MODEL, 2)]
        assert server.requests[1].body["messages"][1]["content"] == "No."


def test_a_plain_reply_that_an_earlier_version_filed_is_found() -> None:
    call_log = MemoryCallLog()
    with FakeOpenAI(MODEL, answer=writes(GOOD)) as server, reflector(server, call_log) as subject:
        wanted = subject._asker._request(subject._question(request()), [])
        endpoint = subject._asker._endpoint
        old = endpoint._key_of(
            {"messages": list(wanted.plain or ()), "max_completion_tokens": wanted.max_tokens}
        )
        server.plan.fail_next(Fault.quota())
        with pytest.raises(ReflectionFault):
            subject.reflect([request()])
        call_log.kept[old] = Reply(f"Thought: {GOOD}\nAction: open box 1", 5, "stop")
        assert subject.reflect([request()]) == [Reflection(GOOD, MODEL, 1)]
        assert len(server.requests) == 1
