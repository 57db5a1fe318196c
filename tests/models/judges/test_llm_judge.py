"""Judgements by a language model: labels, replies that cannot be read, replies that are kept, and giving up."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from configs.calibration import JudgeConfig
from configs.servers import EndpointConfig
from models.asking.asker import Unusable
from models.asking.usability import PROBE_SAMPLES
from models.client.endpoint import Endpoint
from models.judges.judge import Judgement, JudgementFault, JudgementRequest
from models.judges.llm_judge import LLMJudge
from models.judges.prompt import LabelledReply, conversation, read_reply
from steca.types import Step
from tests.support.call_logs import MemoryCallLog
from tests.support.fake_openai.replies import Answer, Request, wanted_schema
from tests.support.fake_openai.server import FakeOpenAI, Fault

MODEL = "judge-1"
BEFORE = Step("Thought: s\nAction: go to box 1", "s", "go to box 1", "The box 1 is closed.", True, "expert")
TURN = Step("Thought: t\nAction: look", "t", "look", "You are facing box 1.", True, "policy")
WHY = "It looks around although it stands before the box."


def request(number: int = 0) -> JudgementRequest:
    return JudgementRequest(f"You are in room {number}. Your task is to: open box 1.", (BEFORE, TURN))


def says(label: str, reason: str = WHY) -> Answer:
    """Answers in the requested format."""

    def answer(asked: Request, _: int) -> str:
        if wanted_schema(asked):
            return json.dumps({"reason": reason, "label": label})
        return f"Reason: {reason}\nLabel: {label}"

    return answer


@contextmanager
def judge(
    server: FakeOpenAI,
    call_log: MemoryCallLog | None = None,
    least_usable: float = 0.1,
    log: Callable[[str], None] = lambda line: None,
    **config: object,
) -> Iterator[LLMJudge]:
    settings = JudgeConfig.model_validate({"model": MODEL, **config})
    where = EndpointConfig(base_urls=(server.url,), patience_seconds=0.5)
    endpoint = Endpoint(where, "sk-test", "judgement", MODEL, call_log or MemoryCallLog(), lambda _: MODEL)
    subject = LLMJudge(endpoint, settings, least_usable, log)
    try:
        yield subject
    finally:
        subject.close()


@pytest.mark.parametrize(("label", "stored"), [("GOOD", "good"), ("BAD", "bad")])
def test_a_valid_reply_is_the_judgement(label: str, stored: str) -> None:
    call_log = MemoryCallLog()
    with FakeOpenAI(MODEL, answer=says(label)) as server, judge(server, call_log) as subject:
        assert subject.judge([request()]) == [Judgement(stored, WHY, 1)]  # type: ignore[arg-type]
        assert server.refusals == []
        (seen,) = server.requests
    assert wanted_schema(seen.body)["properties"]["label"]["enum"] == ["GOOD", "BAD"]
    assert [(call.purpose, call.ok) for call in call_log.calls] == [("judgement", True)]


def test_the_judge_sees_the_history_and_the_turn_and_what_it_led_to() -> None:
    for structured in (True, False):
        [message] = conversation(request(), structured)
        text = message["content"]
        before, last = text.split("# The last action, which you judge")
        assert "You are in room 0" in before
        assert "The box 1 is closed." in before
        assert "Action: look" not in before
        assert "Action: look\nYou are facing box 1." in last
    first = conversation(JudgementRequest("You see a box 1.", (TURN,)), True)[0]["content"]
    assert "(nothing before)" in first


def test_judgements_are_in_the_order_of_the_requests() -> None:
    def answer(asked: Request, _: int) -> str:
        room = re.search(r"room (\d+)", asked["messages"][0]["content"])
        assert room
        return json.dumps({"reason": room[0], "label": "BAD" if int(room[1]) % 3 else "GOOD"})

    heard: list[tuple[int, int]] = []
    with FakeOpenAI(MODEL, answer=answer) as server, judge(server) as subject:
        out = subject.judge([request(i) for i in range(20)], lambda *seen: heard.append(seen))
    assert out == [Judgement("bad" if i % 3 else "good", f"room {i}", 1) for i in range(20)]
    assert heard[-1] == (20, 20)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it does not have the required form: one reason and one label"),
        ("BAD", "it does not have the required form"),
        ('{"label": "BAD"}', "it does not have the required form"),
        ('{"reason": "so", "label": 1}', "it does not have the required form"),
        ('{"reason": "so", "label": "SO-SO"}', "its label is 'SO-SO' and neither GOOD nor BAD"),
        ('{"reason": "so", "label": "GOOD or BAD"}', "neither GOOD nor BAD"),
        ('{"reason": " ", "label": "GOOD"}', "its reason is empty"),
        ("Reason: so\nLabel: perhaps", "its label is 'perhaps'"),
    ],
)
def test_an_invalid_reply_is_sent_back_with_the_reason(text: str, reason: str) -> None:
    def answer(asked: Request, number: int) -> str:
        return text if number == 0 else says("BAD")(asked, number)

    read = read_reply(text)
    assert isinstance(read, Unusable)
    assert reason in read.reason
    with FakeOpenAI(MODEL, answer=answer) as server, judge(server) as subject:
        assert subject.judge([request()]) == [Judgement("bad", WHY, 2)]
        first, second = (seen.body["messages"] for seen in server.requests)
    assert second[: len(first)] == first
    assert reason in second[-1]["content"]


@pytest.mark.parametrize(
    "text",
    [
        'I think so.\n```json\n{"label": "bad", "reason": "It looks\ntwice.", "sure": 1}\n```',
        'First {"label": "GOOD", "reason": "no"}, but then {"Reason": "It looks twice.", "Label": "BAD."}',
        "**Reason:** It looks twice.\n**Label:** BAD",
        "- Label: `bad`\n- Reason: It looks twice.",
    ],
)
def test_forms_that_models_write(text: str) -> None:
    assert read_reply(text) == LabelledReply("bad", "It looks twice.")


def test_without_a_usable_reply_there_is_no_label() -> None:
    with FakeOpenAI(MODEL, answer=says("MEDIUM")) as server, judge(server, attempts=2) as subject:
        assert subject.judge([request()]) == [
            Judgement(None, "its label is 'MEDIUM' and neither GOOD nor BAD", 2)
        ]
        assert len(server.requests) == 2


def test_a_refusal_is_data_and_asked_once() -> None:
    with FakeOpenAI(MODEL, answer=says("BAD")) as server, judge(server) as subject:
        server.plan.fail_next(Fault.refusal("I cannot judge this."))
        assert subject.judge([request()]) == [Judgement(None, "the model refuses: I cannot judge this.", 1)]


def test_a_server_without_structured_output_is_asked_for_plain_text() -> None:
    none = frozenset({"response_format"})
    with FakeOpenAI(MODEL, answer=says("GOOD"), unsupported=none) as server, judge(server) as subject:
        assert subject.judge([request()]) == [Judgement("good", WHY, 1)]


def test_kept_replies_are_not_asked_for_again() -> None:
    call_log = MemoryCallLog()
    with FakeOpenAI(MODEL, answer=says("BAD")) as server:
        with judge(server, call_log) as subject:
            first = subject.judge([request(0), request(1)])
        with judge(server, call_log) as subject:
            assert subject.judge([request(0), request(1)]) == first
        assert len(server.requests) == 2
        with judge(server, call_log, max_tokens=50) as subject:  # another request
            subject.judge([request(0)])
        assert len(server.requests) == 3


def test_a_model_that_cannot_judge_stops_the_run() -> None:
    words = f"0 of {PROBE_SAMPLES} judgements by {MODEL} were usable.*Choose another judge.model, or raise judge.max"
    with (
        FakeOpenAI(MODEL, answer=says("MEDIUM")) as server,
        judge(server, attempts=1) as subject,
        pytest.raises(JudgementFault, match=words),
    ):
        subject.judge([request(i) for i in range(12)])
    with (
        FakeOpenAI(MODEL, answer=says("MEDIUM")) as server,
        judge(server, attempts=1, least_usable=0) as subject,
    ):
        assert {one.label for one in subject.judge([request(i) for i in range(12)])} == {None}


def test_a_wrong_key_fails_at_once() -> None:
    with (
        FakeOpenAI(MODEL, answer=says("BAD"), key="sk-right") as server,
        judge(server) as subject,
        pytest.raises(JudgementFault, match="refuses the key"),
    ):
        subject.judge([request()])
