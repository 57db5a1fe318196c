"""Many requests on one or more servers: never too many, fewer where there is no room, none lost where a server dies."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tenacity import wait_random_exponential

from models.client import endpoint as subject
from models.client.calls import Reply
from models.client.endpoint import EndpointFault
from models.client.errors import RequestError
from tests.support.call_logs import MemoryCallLog
from tests.support.endpoints import MODEL, Verifier, ask, asked, endpoint_of, outcomes, right, texts
from tests.support.fake_openai.server import FakeOpenAI, Fault, Record


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "BACKOFF", wait_random_exponential(multiplier=0.005, max=0.05))


@pytest.fixture
def servers() -> Iterator[list[FakeOpenAI]]:
    with ExitStack() as stack:
        started = [stack.enter_context(FakeOpenAI(MODEL, dialect="vllm", latency=0.01)) for _ in range(3)]
        yield started
        assert [refusal for server in started for refusal in server.refusals] == []


def seen_by(server: FakeOpenAI, look: Callable[[], Any]) -> list[Any]:
    """What `look` shows whenever a request comes."""
    shown: list[Any] = []

    def rule(_: Record) -> bool:
        shown.append(look())
        return False

    server.plan.fail_when(rule, Fault.server_error())
    return shown


def asked_for(server: FakeOpenAI) -> set[str]:
    return {record.body["messages"][0]["content"] for record in server.requests}


def test_requests_in_flight_never_exceed_the_limit(servers: list[FakeOpenAI]) -> None:
    requests = [ask(number) for number in range(60)]
    assert texts(outcomes(endpoint_of(servers[0], in_flight=7), requests)) == [right(r) for r in requests]
    assert 2 <= servers[0].max_concurrency <= 7


@pytest.mark.parametrize("fault", [Fault.rate_limit(0.02), Fault.server_error(503), Fault.hang()])
def test_an_overloaded_server_gets_fewer_requests_and_later_more_again(
    servers: list[FakeOpenAI], fault: Fault
) -> None:
    requests = [ask(number) for number in range(120)]
    server = servers[0]
    endpoint = endpoint_of(server, in_flight=16, timeout_seconds=1.0)
    limits = seen_by(server, lambda: endpoint.backends[0].limit)
    server.plan.script = dict.fromkeys(range(20, 30), fault)
    assert texts(outcomes(endpoint, requests)) == [right(r) for r in requests]
    assert limits[0] == 16
    assert min(limits) < 12
    assert endpoint.backends[0].limit > min(limits)
    assert server.max_concurrency <= 16


def test_an_overloaded_server_is_left_to_itself_one_by_one_and_all_is_answered(
    servers: list[FakeOpenAI],
) -> None:
    """A server with room for two: what comes above that is refused."""
    server = servers[0]
    server.plan.fail_when(lambda record: record.concurrency > 2, Fault.rate_limit(0.01))
    requests = [ask(number) for number in range(60)]
    call_log = MemoryCallLog()
    assert texts(outcomes(endpoint_of(server, call_log=call_log, in_flight=32), requests)) == [
        right(r) for r in requests
    ]
    assert len(call_log.calls) == 60
    refused = sum(call.retries for call in call_log.calls)
    assert refused < 200  # 60 at once, again and again, would be thousands


def test_servers_share_the_tasks_and_a_task_stays_with_its_server(servers: list[FakeOpenAI]) -> None:
    async def work() -> None:
        endpoint = endpoint_of(*servers)
        for turn in range(3):
            chats = (endpoint.chat(ask(task, seed=turn), f"task {task}") for task in range(30))
            await asyncio.gather(*chats)
        await endpoint.close()

    asyncio.run(work())
    tasks = [asked_for(server) for server in servers]
    assert all(len(some) >= 4 for some in tasks)
    assert sum(map(len, tasks)) <= 30 + 3  # a crowded server may pass on a few
    assert sum(len(server.requests) for server in servers) == 90


def test_a_dead_server_is_avoided_and_used_again_when_it_is_back(servers: list[FakeOpenAI]) -> None:
    dead, verify = servers[0], Verifier()

    async def work() -> None:
        endpoint = endpoint_of(*servers, verify=verify)

        async def round(first: int) -> None:
            chats = (endpoint.chat(ask(first + task), f"task {task}") for task in range(30))
            texts(await asyncio.gather(*chats))

        await round(0)
        before = len(dead.requests)
        assert before
        await asyncio.to_thread(dead.stop)
        await round(100)
        assert len(dead.requests) == before
        await asyncio.to_thread(dead.start)
        for backend in endpoint.backends:
            backend.down_until = min(backend.down_until, 1.0)  # the second in which it is avoided is over
        await round(200)
        assert len(dead.requests) > before
        await endpoint.close()

    asyncio.run(work())
    assert verify.asked.count(dead.url) >= 2  # at first, and before it was used again
    assert [verify.asked.count(server.url) for server in servers[1:]] == [1, 1]


def test_all_requests_end_well_where_every_server_was_dead_for_a_while(servers: list[FakeOpenAI]) -> None:
    call_log, verify = MemoryCallLog(), Verifier()
    for server in servers[:2]:
        server.stop()
    starts = [threading.Timer(0.3, server.start) for server in servers[:2]]
    for timer in starts:
        timer.start()
    requests = [ask(number) for number in range(40)]
    endpoint = endpoint_of(*servers[:2], call_log=call_log, verify=verify, in_flight=4)
    assert texts(outcomes(endpoint, requests)) == [right(r) for r in requests]
    for timer in starts:
        timer.join()
    assert len(call_log.calls) == 40
    assert {fault for call in call_log.calls for fault in call.faults} == {"connection"}


def test_a_server_that_dies_in_the_middle_and_comes_back_costs_tries_only(servers: list[FakeOpenAI]) -> None:
    call_log, verify, server = MemoryCallLog(), Verifier(), servers[0]
    server.plan.script = {15: Fault.crash(down=0.2)}
    requests = [ask(number) for number in range(40)]
    endpoint = endpoint_of(server, call_log=call_log, verify=verify, in_flight=8)
    assert texts(outcomes(endpoint, requests)) == [right(r) for r in requests]
    assert len(call_log.calls) == 40
    assert verify.asked.count(server.url) >= 2


def test_a_server_that_comes_back_with_another_model_writes_no_turn(servers: list[FakeOpenAI]) -> None:
    call_log, server = MemoryCallLog(), servers[0]
    server.answer = lambda body, _: f"Written by {server.model}"
    server.plan.script = {10: Fault.crash(down=0.1, model="yesterday")}
    results = outcomes(
        endpoint_of(server, call_log=call_log, in_flight=4), [ask(number) for number in range(40)]
    )
    faults = [result for result in results if isinstance(result, EndpointFault)]
    assert {fault.kind for fault in faults} == {"model"}
    assert any("serves ['yesterday'], not" in str(fault) for fault in faults)
    assert {reply.text for reply in call_log.kept.values()} == {f"Written by {MODEL}"}
    assert len(call_log.kept) + len(faults) == 40
    assert {call.served_model for call in call_log.calls if call.ok} == {MODEL}


def test_a_server_that_hangs_keeps_no_request_from_the_others(servers: list[FakeOpenAI]) -> None:
    hanging = servers[0]
    hanging.plan.fail_when(lambda _: True, Fault.hang())
    requests = [ask(number) for number in range(90)]
    endpoint = endpoint_of(*servers[:2], in_flight=8, timeout_seconds=0.3)
    assert texts(outcomes(endpoint, requests)) == [right(r) for r in requests]
    assert len(hanging.requests) <= 8 + 4 + 2 + 8  # not the forty that would have been its own


def test_a_server_that_asks_for_a_long_pause_keeps_no_request_from_the_others(
    servers: list[FakeOpenAI],
) -> None:
    closed = servers[0]
    closed.plan.fail_when(lambda _: True, Fault.rate_limit(3600))
    requests = [ask(number) for number in range(60)]
    results = outcomes(endpoint_of(*servers[:2], in_flight=4, patience_seconds=10), requests)
    faults = [result for result in results if isinstance(result, EndpointFault)]
    assert len(faults) == len(closed.requests) <= 4
    assert sum(isinstance(result, Reply) for result in results) == 60 - len(faults)


def test_one_model_check_serves_all_waiting_requests_also_if_it_fails(
    servers: list[FakeOpenAI],
) -> None:
    times, call_log = list[str](), MemoryCallLog()

    def verify(base_url: str) -> str:
        times.append(base_url)
        time.sleep(0.05)
        raise RequestError("timeout", "no answer in time")

    endpoint = endpoint_of(servers[0], call_log=call_log, verify=verify, in_flight=20, patience_seconds=0.3)
    results = outcomes(endpoint, [ask(number) for number in range(20)])
    assert {type(result) for result in results} == {EndpointFault}
    assert len(times) < sum(len(call.faults) for call in call_log.calls) / 2
    assert servers[0].requests == []


def test_cancelled_requests_keep_their_places_until_they_are_answered(servers: list[FakeOpenAI]) -> None:
    server, call_log = servers[0], MemoryCallLog()
    server.latency = 0.3

    async def work() -> None:
        endpoint = endpoint_of(server, call_log=call_log, in_flight=3)
        chats = [asyncio.create_task(endpoint.chat(ask(number))) for number in range(12)]
        while len(server.requests) < 3:
            await asyncio.sleep(0.01)
        for chat in chats[:3]:
            chat.cancel()  # their slots are not free: the requests are still in flight
        await asyncio.sleep(0.05)
        assert len(server.requests) == 3
        for chat in chats[3:]:
            chat.cancel()
        await endpoint.wait_for_in_flight()
        assert all(
            isinstance(r, asyncio.CancelledError)
            for r in await asyncio.gather(*chats, return_exceptions=True)
        )
        assert [backend.load for backend in endpoint.backends] == [0]
        await endpoint.close()

    asyncio.run(work())
    assert len(server.requests) == len(call_log.kept) == len(call_log.calls) == 3
    assert server.max_concurrency == 3


def test_results_depend_on_the_requests_alone(servers: list[FakeOpenAI]) -> None:
    requests = [ask(number % 10, seed=number) for number in range(60)]
    for server in servers[:2]:
        server.plan.fail_randomly(Fault.server_error(), 0.2, seed=1)
        server.plan.fail_randomly(Fault.drop(), 0.1, seed=2)
    one = texts(outcomes(endpoint_of(servers[2], in_flight=1), requests))
    many = texts(outcomes(endpoint_of(*servers[:2], in_flight=32), requests[::-1]))[::-1]
    assert one == many == [right(r) for r in requests]
    assert len(set(one)) == 60


def test_nothing_is_left_open_and_a_second_loop_may_follow(servers: list[FakeOpenAI]) -> None:
    async def work() -> set[asyncio.Task[Any]]:
        await asked(endpoint_of(*servers), [ask(number) for number in range(9)])
        return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]

    assert asyncio.run(work()) == set()
