"""Self-generated reflections: the policy is asked with the reflector's prompt, and its replies are checked as any."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from models.policy import Generation, History, Sampling
from models.reflectors.policy_reflector import PolicyReflector
from models.reflectors.prompt import conversation
from models.reflectors.reflector import NoReflection, Reflection
from models.served.openai_policy import OpenAIPolicy
from steca.vocabulary import Finish
from tests.models.reflectors.test_llm_reflector import GOOD, request, ungrounded
from tests.support.call_logs import MemoryCallLog
from tests.support.endpoints import MODEL as SERVED
from tests.support.endpoints import endpoint_of
from tests.support.fake_openai.replies import Request
from tests.support.fake_openai.server import FakeOpenAI

PLAIN = f"Thought: {GOOD}\nAction: open box 1"


class Writer:
    """A policy that writes what a function of the history says, with finish stop unless it writes nothing."""

    digest = "writer"

    def __init__(self, write: Callable[[History], str], finish: Finish = "stop", tokens: int = 9) -> None:
        self._write, self._finish, self._tokens = write, finish, tokens
        self.calls: list[tuple[list[History], list[int], Sampling]] = []

    def act(self, histories: Sequence[History], seeds: Sequence[int], sampling: Sampling) -> list[Generation]:
        self.calls.append((list(histories), list(seeds), sampling))
        return [Generation(self._write(history), self._tokens, self._finish) for history in histories]


def reflector(policy: Writer, attempts: int = 3, lines: list[str] | None = None) -> PolicyReflector:
    log = lines.append if lines is not None else lambda line: None
    return PolicyReflector(policy, Sampling(max_tokens=64), attempts, ungrounded, log)


def test_a_usable_reply_is_the_reflection() -> None:
    policy = Writer(lambda history: PLAIN)
    heard: list[tuple[int, int]] = []
    out = reflector(policy).reflect([request(0), request(1)], lambda *seen: heard.append(seen))
    assert out == [Reflection(GOOD, "policy", 1)] * 2
    [(histories, seeds, sampling)] = policy.calls[:1]
    assert histories == [conversation(request(i), structured=False) for i in (0, 1)]
    assert sampling == Sampling(max_tokens=64)
    assert len(set(seeds)) == 2
    assert heard[-1] == (2, 2)


def test_only_unusable_replies_are_asked_for_again_with_the_reason() -> None:
    def write(history: History) -> str:
        return "Action: look" if "room 1" in history[0]["content"] and len(history) == 1 else PLAIN

    policy = Writer(write)
    assert reflector(policy).reflect([request(0), request(1)]) == [
        Reflection(GOOD, "policy", 1),
        Reflection(GOOD, "policy", 2),
    ]
    again = policy.calls[1][0]
    assert [[message["role"] for message in history] for history in again] == [["user", "assistant", "user"]]
    assert again[0][1]["content"] == "Action: look"
    assert "its thought is empty" in again[0][2]["content"]


def test_a_policy_that_cannot_reflect_is_rejected_with_the_last_reason_and_stops_nothing() -> None:
    lines: list[str] = []
    policy = Writer(lambda history: "Action: look")
    out = reflector(policy, 2, lines).reflect([request(i) for i in range(30)])
    assert out == [NoReflection("its thought is empty", 2)] * 30
    assert len(policy.calls) == 2
    assert lines == ["0 of 30 reflections by the policy were usable; one of the others: its thought is empty"]


def test_the_required_action_and_what_was_seen_are_checked() -> None:
    for text, reason in (
        (f"Thought: {GOOD}\nAction: look", "not the required"),
        ("Thought: I see vase 9 and now I open it.\nAction: open box 1", "never been seen: vase 9"),
        ("mumble", "one thought and one action"),
    ):
        (out,) = reflector(Writer(lambda history, text=text: text), 1).reflect([request()])  # type: ignore[misc]
        assert isinstance(out, NoReflection)
        assert reason in out.reason


def test_what_does_not_fit_or_is_cut_off_says_so() -> None:
    (out,) = reflector(Writer(lambda history: "", "length", 0), 1).reflect([request()])
    assert isinstance(out, NoReflection)
    assert "do not fit into the policy's context" in out.reason
    (out,) = reflector(Writer(lambda history: "Thought: so", "length", 64), 1).reflect([request()])
    assert out == NoReflection("it was cut off after 64 tokens", 1)


def test_a_served_policy_is_asked_by_chat_requests() -> None:
    def write(asked: Request, _: int) -> str:
        return PLAIN if len(asked["messages"]) > 1 else "Action: look"

    with FakeOpenAI(SERVED, dialect="vllm", answer=write) as server:
        call_log = MemoryCallLog()
        policy = OpenAIPolicy(endpoint_of(server, call_log=call_log), "digest")
        try:
            subject = PolicyReflector(policy, Sampling(max_tokens=64), 3, ungrounded)
            assert subject.reflect([request(0), request(1)]) == [Reflection(GOOD, "policy", 2)] * 2
        finally:
            policy.close()
        assert server.refusals == []
        assert {seen.body["max_tokens"] for seen in server.requests} == {64}
    assert [call.purpose for call in call_log.calls] == ["policy"] * 4


def test_nothing_to_reflect_on_asks_nothing() -> None:
    policy = Writer(lambda history: PLAIN)
    assert reflector(policy).reflect([]) == []
    assert policy.calls == []
