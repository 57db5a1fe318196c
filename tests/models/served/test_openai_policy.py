"""Episodes through a server: the same as in process, whatever fails; nothing asked twice, nothing left open."""

from __future__ import annotations

import gc
import json
import logging
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from tenacity import wait_random_exponential

from models.client import endpoint as endpoints
from models.client.calls import CallLog
from models.client.diagnosis import QUESTION
from models.policy import Generation, History, PolicyFault, Sampling
from models.served.openai_policy import OpenAIPolicy, turn_regex
from rollouts.play import EpisodeSettings, PlayedEpisode, Start, play, start_of
from tasks.call_log import BatchCallLog
from tests.support.call_logs import MemoryCallLog
from tests.support.endpoints import KEY, MODEL, ask, endpoint_of, right
from tests.support.fake_openai.replies import Answer, Request
from tests.support.fake_openai.server import FakeOpenAI, Fault
from tests.support.rollouts_toys import SAMPLED, Seen, Speak, Toy, config, erring, seen, tasks, told, world

EPISODE_SETTINGS = EpisodeSettings(config(environment={"step_cap": 12, "invalid_streak": 4}).environment)


def speak(now: Seen) -> str:
    """Errs, by the seed as servers take it: of 63 bits."""
    return erring(0.4)(replace(now, seed=now.seed % 2**63 if now.seed is not None else None))


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "BACKOFF", wait_random_exponential(multiplier=0.005, max=0.03))


def speaks(speak: Speak = speak) -> Answer:
    """A toy policy behind a server."""

    def answer(body: Request, _: int) -> str:
        if body["messages"] == QUESTION:
            return "{}"
        return speak(seen(body["messages"], body.get("seed", 0), Sampling(body["temperature"])))

    return answer


@contextmanager
def serving(speak: Speak = speak, **options: Any) -> Iterator[FakeOpenAI]:
    with FakeOpenAI(MODEL, dialect="vllm", answer=speaks(speak), **options) as server:
        yield server
        assert server.refusals == []


@contextmanager
def policy_of(
    *servers: FakeOpenAI, call_log: CallLog | None = None, **settings: Any
) -> Iterator[OpenAIPolicy]:
    policy = OpenAIPolicy(endpoint_of(*servers, call_log=call_log, **settings), MODEL)
    try:
        yield policy
    finally:
        policy.close()


def starts(count: int = 6, seeds: int = 3) -> list[Start]:
    return [start_of(world(), task, seed) for task in tasks(count) for seed in range(1, seeds + 1)]


def results(played: list[PlayedEpisode]) -> list[tuple[object, ...]]:
    return [(*told(run.trajectory), run.progress, run.trajectory.prefix) for run in played]


def in_process() -> list[tuple[object, ...]]:
    return results(play(world(), Toy(speak), starts(), SAMPLED, EPISODE_SETTINGS))


def bodies(server: FakeOpenAI, answered: bool = True) -> list[str]:
    return [json.dumps(record.body) for record in server.requests if not (answered and record.fault)]


@pytest.mark.parametrize("in_flight", [1, 5, 64])
def test_episodes_equal_those_of_the_local_policy_at_any_number_in_flight(in_flight: int) -> None:
    with serving() as server, policy_of(server, in_flight=in_flight) as policy:
        assert results(play(world(), policy, starts(), SAMPLED, EPISODE_SETTINGS)) == in_process()
        assert server.max_concurrency <= in_flight


def test_act_answers_in_order_each_with_its_seed() -> None:
    histories = [ask(number).messages for number in range(20)]
    with FakeOpenAI(MODEL, dialect="vllm") as server, policy_of(server) as policy:
        turns = policy.act(histories, range(20), SAMPLED)
        assert [turn.text for turn in turns] == [right(ask(number)) for number in range(20)]
        assert policy.act(histories[::-1], range(20)[::-1], SAMPLED) == turns[::-1]
        assert len(server.requests) == 20
        with pytest.raises(PolicyFault, match="20 histories but 1 seeds"):
            policy.act(histories, [1], SAMPLED)
    assert policy.digest == MODEL


def test_greedy_turns_send_no_seed_and_sampled_ones_all_that_draws_them() -> None:
    with FakeOpenAI(MODEL, dialect="vllm") as server, policy_of(server, in_flight=1) as policy:
        policy.act([ask().messages], [7], Sampling(0.0, 0.5, 20))
        policy.act([ask().messages], [7], Sampling(0.7, 0.5, 21, ("\nAction",)))
        assert server.refusals == []
        greedy, drawn = ({**record.body} for record in server.requests)
    shared = {"model": MODEL, "messages": ask().messages}
    assert greedy == {**shared, "temperature": 0.0, "max_tokens": 20}
    assert drawn == {
        **shared,
        "temperature": 0.7,
        "top_p": 0.5,
        "max_tokens": 21,
        "seed": 7,
        "stop": ["\nAction"],
    }


@pytest.mark.parametrize("words", [50, 70])
def test_a_history_that_fills_the_context_is_an_empty_turn_that_was_cut_off(words: int) -> None:
    history: History = [{"role": "user", "content": "word " * (words - 1) + "end"}]
    with FakeOpenAI(MODEL, dialect="vllm", n_ctx=50) as server, policy_of(server) as policy:
        policy.act([ask().messages], [0], Sampling(max_tokens=8))
        assert policy.act([history], [0], Sampling(max_tokens=8)) == [Generation("", 0, "length")]
        with pytest.raises(PolicyFault, match="max_tokens=51 cannot be greater"):
            policy.act([ask().messages], [0], Sampling(max_tokens=51))


def test_episodes_go_on_when_the_context_is_full() -> None:
    with serving(n_ctx=120) as server, policy_of(server) as policy:
        played = play(world(), policy, starts(), SAMPLED, EPISODE_SETTINGS)
    assert len(played) == 18
    assert "" in {step.text for run in played for step in run.trajectory.steps}


CHAOS: list[tuple[Fault, float]] = [
    (Fault.rate_limit(0.01), 0.05),
    (Fault.server_error(500), 0.04),
    (Fault.server_error(503), 0.03),
    (Fault.html(502), 0.02),
    (Fault.drop(), 0.02),
    (Fault.drop_mid_body(reset=True), 0.02),
    (Fault.truncated_json(), 0.02),
]


def test_transient_errors_change_no_episode() -> None:
    call_log = MemoryCallLog()
    with serving() as one, serving() as two, policy_of(one, two, call_log=call_log, in_flight=16) as policy:
        for server in (one, two):
            for place, (fault, chance) in enumerate(CHAOS):
                server.plan.fail_randomly(fault, chance, seed=place)
        assert results(play(world(), policy, starts(), SAMPLED, EPISODE_SETTINGS)) == in_process()
        met = sum(bool(record.fault) for server in (one, two) for record in server.requests)
        answered = bodies(one) + bodies(two)
    assert met > 0.1 * len(answered)
    assert len(set(answered)) == len(answered) == len(call_log.calls)
    assert sum(call.retries for call in call_log.calls) == met


def test_replies_before_a_permanent_error_are_kept_and_only_the_rest_is_requested_again() -> None:
    call_log = MemoryCallLog()
    ended: list[int] = []
    with serving(latency=0.01) as server:
        server.plan.fail_when(lambda record: record.number >= 60, Fault.quota())
        with (
            policy_of(server, call_log=call_log, in_flight=8) as policy,
            pytest.raises(PolicyFault, match="no credit left"),
        ):
            play(
                world(),
                policy,
                starts(),
                SAMPLED,
                EPISODE_SETTINGS,
                on_finished=lambda index, _: ended.append(index),
            )
        paid = bodies(server)
        assert len(paid) == 60 == len(call_log.kept) == sum(call.ok for call in call_log.calls)
        refused = len(server.requests) - 60
        assert refused <= 18  # no episode has asked on
        assert ended
        server.plan.heal()
        with policy_of(server, call_log=call_log, in_flight=8) as policy:
            again = play(world(), policy, starts(), SAMPLED, EPISODE_SETTINGS)
        asked = bodies(server)
    assert results(again) == in_process()
    assert len(asked) == len(set(asked)), "an answered request was asked again"


def test_turns_in_flight_are_awaited_and_queued_ones_are_not_sent() -> None:
    call_log = MemoryCallLog()
    with serving(latency=0.3) as server, policy_of(server, call_log=call_log, in_flight=4) as policy:
        server.plan.script = {3: Fault.quota()}  # at once, while the others take their time
        with pytest.raises(PolicyFault, match="no credit left"):
            play(world(), policy, starts(), SAMPLED, EPISODE_SETTINGS)
        assert len(call_log.kept) == len(server.requests) - 1
        # the one place that the refused request left free may have been taken before the fault was known
        assert 4 <= len(server.requests) <= 5


def test_an_interrupt_keeps_the_replies_in_flight() -> None:
    call_log = MemoryCallLog()

    def stop(_: int, __: int) -> None:
        raise KeyboardInterrupt

    with serving(latency=0.1) as server, policy_of(server, call_log=call_log, in_flight=6) as policy:
        with pytest.raises(KeyboardInterrupt):
            play(world(), policy, starts(), SAMPLED, EPISODE_SETTINGS, progress=stop)
        assert len(call_log.kept) == len(server.requests) < 18 + 6


def test_another_process_resumes_from_the_call_log(tmp_path: Path) -> None:
    with serving() as server:
        server.plan.fail_when(lambda record: record.number >= 40, Fault.unauthorized())
        first = BatchCallLog(tmp_path, {}, "b0")
        with policy_of(server, call_log=first, in_flight=8) as policy, pytest.raises(PolicyFault):
            play(world(), policy, starts(), SAMPLED, EPISODE_SETTINGS)
        server.plan.heal()
        second = BatchCallLog(tmp_path, {}, "b0")
        with policy_of(server, call_log=second, in_flight=8) as policy:
            assert results(play(world(), policy, starts(), SAMPLED, EPISODE_SETTINGS)) == in_process()
        asked = bodies(server)
        assert len(asked) == len(set(asked)) == sum(row.ok for row in second.rows())
        assert KEY not in "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())


def test_a_constrained_policy_takes_admissible_actions_only() -> None:
    settings = EpisodeSettings(EPISODE_SETTINGS.environment, constrained=True)
    offered: list[int] = []

    def obeys(body: Request, _: int) -> str:
        pattern = body["structured_outputs"]["regex"]
        actions = pattern.split("Action: (")[1].removesuffix(")").split("|")
        offered.append(len(actions))
        action = actions[body["seed"] % len(actions)].replace("\\", "")
        return f"Thought: I draw lots.\nAction: {action}"

    with FakeOpenAI(MODEL, dialect="vllm", answer=obeys) as server, policy_of(server) as policy:
        played = play(world(), policy, starts(), SAMPLED, settings)
        assert server.refusals == []
        assert all(record.fitting for record in server.requests)
    assert all(run.constrained for run in played)
    assert all(step.valid for run in played for step in run.trajectory.steps)
    assert min(offered) > 1


def test_the_turn_regex_matches_its_actions_and_no_others() -> None:
    import re

    pattern = turn_regex(["put mug 1 in/on shelf 2", "go to box (1)", "examine a.b|c"])
    for action in ("put mug 1 in/on shelf 2", "go to box (1)", "examine a.b|c"):
        assert re.fullmatch(pattern, f"Thought: So.\nAction: {action}")
    for text in ("Thought: So.\nAction: examine axb|c", "Thought: So.\nAction: c", "Action: go to box (1)"):
        assert not re.fullmatch(pattern, text)
    assert "\\ " not in pattern


def test_nothing_is_left_of_a_closed_policy() -> None:
    before = set(threading.enumerate())
    noise: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = noise.append  # type: ignore[method-assign]
    logging.getLogger("asyncio").addHandler(handler)
    try:
        with FakeOpenAI(MODEL, dialect="vllm", latency=0.05) as server, warnings.catch_warnings():
            warnings.simplefilter("error")
            policy = OpenAIPolicy(endpoint_of(server, in_flight=3), MODEL)
            queue = policy.turn_queue(SAMPLED)
            for number in range(12):
                queue.ask(number, ask(number).messages, number)
            queue.answers()
            policy.close()  # in the middle of it
            policy.close()
            assert _connections_to(server) == 0
            del policy, queue
            gc.collect()
        _until(lambda: set(threading.enumerate()) <= before)
    finally:
        logging.getLogger("asyncio").removeHandler(handler)
    assert [record.getMessage() for record in noise] == []


def _connections_to(server: FakeOpenAI) -> int:
    found = psutil.Process().net_connections("tcp")
    return sum(
        bool(one.raddr) and one.raddr.port == server.port and one.status == "ESTABLISHED" for one in found
    )


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, threading.enumerate()
        time.sleep(0.01)


@pytest.mark.parametrize(
    "text", ["<think>\nThought: hm.\nAction: inventory\n</think>\n\n{}", "Action: inventory\n</think>\n{}"]
)
def test_what_a_policy_thinks_first_is_not_its_turn(text: str) -> None:
    turn = "Thought: so.\nAction: look"
    with FakeOpenAI(MODEL, dialect="vllm") as server, policy_of(server) as policy:
        server.plan.fail_next(Fault.wrong_text(text.format(turn)))
        server.plan.fail_next(Fault.reasoning("Action: inventory", content=turn))
        server.plan.fail_next(Fault.reasoning(turn))
        turns = [policy.act([ask(number).messages], [0], SAMPLED)[0].text for number in range(3)]
    assert turns == [turn, turn, ""]


def test_a_policy_fault_is_no_end_for_the_policy() -> None:
    with FakeOpenAI(MODEL, dialect="vllm") as server, policy_of(server) as policy:
        server.plan.fail_next(Fault.quota())
        with pytest.raises(PolicyFault):
            policy.act([ask().messages], [0], SAMPLED)
        assert policy.act([ask().messages], [0], SAMPLED)[0].text == right(ask())
