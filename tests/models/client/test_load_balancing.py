"""Load balancing: which server a request goes to, and how many requests are in flight."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from models.client.load_balancing import LIMIT_STEP, Backend, choose_backend


async def occupy(backend: Backend, until: asyncio.Event, seen: list[int]) -> None:
    async with backend.slot():
        seen.append(backend.in_flight)
        await until.wait()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_requests_in_flight_never_exceed_the_limit_and_all_get_a_slot() -> None:
    async def work() -> None:
        backend, until, seen = Backend("a", 3), asyncio.Event(), list[int]()
        tasks = [asyncio.create_task(occupy(backend, until, seen)) for _ in range(8)]
        await settled()
        assert (backend.in_flight, len(seen), backend.load) == (3, 3, 8)
        until.set()
        await asyncio.gather(*tasks)
        assert (backend.in_flight, len(seen), max(seen), backend.load) == (0, 8, 3, 0)

    asyncio.run(work())


def test_a_cancelled_request_frees_its_slot() -> None:
    async def work() -> None:
        backend, until, seen = Backend("a", 1), asyncio.Event(), list[int]()
        tasks = [asyncio.create_task(occupy(backend, until, seen)) for _ in range(3)]
        await settled()
        tasks[1].cancel()  # waits in the queue
        tasks[0].cancel()  # in flight
        await settled()
        assert (backend.in_flight, backend.load) == (1, 1)
        until.set()
        await tasks[2]
        assert backend.in_flight == 0

    asyncio.run(work())


def test_overload_halves_the_limit_once_for_requests_sent_together_and_success_raises_it() -> None:
    backend = Backend("a", 64)
    sent = time.monotonic()
    for _ in range(10):
        backend.overloaded(sent, 0.0)
    assert backend.limit == 32
    backend.overloaded(time.monotonic(), 0.0)
    assert backend.limit == 16
    backend.succeeded()
    assert backend.limit == 16 + LIMIT_STEP
    for _ in range(1000):
        backend.succeeded()
    assert backend.limit == 64
    for _ in range(20):
        backend.overloaded(time.monotonic(), 0.0)
    assert backend.limit == 1


def test_a_backend_that_asked_for_a_pause_gets_nothing_until_it_is_over() -> None:
    async def work() -> None:
        backend, until, seen = Backend("a", 4), asyncio.Event(), list[int]()
        until.set()
        backend.overloaded(time.monotonic(), 0.05)
        began = time.monotonic()
        tasks = [asyncio.create_task(occupy(backend, until, seen)) for _ in range(4)]
        await settled()
        assert not seen
        await asyncio.gather(*tasks)
        assert time.monotonic() - began >= 0.045

    asyncio.run(work())


def test_an_episode_stays_with_its_server_and_episodes_are_spread() -> None:
    backends = [Backend(name, 64) for name in "abc"]
    chosen = {episode: choose_backend(backends, f"episode {episode}") for episode in range(300)}
    assert all(
        choose_backend(backends, f"episode {episode}") is backend for episode, backend in chosen.items()
    )
    assert min(Counter(backend.base_url for backend in chosen.values()).values()) > 60


def test_a_crowded_server_shares_and_one_that_is_down_is_avoided_until_all_are() -> None:
    backends = [Backend(name, 64) for name in "ab"]
    own = choose_backend(backends, "episode")
    other = next(backend for backend in backends if backend is not own)
    own.in_flight = 10
    assert choose_backend(backends, "episode") is other
    other.in_flight = 9
    assert choose_backend(backends, "episode") is own
    own.unreachable(60)
    assert choose_backend(backends, "episode") is other
    other.unreachable(120)
    assert choose_backend(backends, "episode") is own
    own.succeeded()
    assert own.down_until == 0


def test_requests_queued_at_a_server_that_got_worse_choose_again() -> None:
    async def work() -> None:
        for hangs in (True, False):
            backend, until, admitted = Backend("a", 1), asyncio.Event(), list[bool]()

            async def wait(
                backend: Backend = backend, until: asyncio.Event = until, results: list[bool] = admitted
            ) -> None:
                async with backend.slot() as one:
                    results.append(one)
                    if one:
                        await until.wait()

            tasks = [asyncio.create_task(wait()) for _ in range(4)]
            await settled()
            if hangs:
                backend.overloaded(time.monotonic(), 0.0)
            else:
                backend.unreachable(1.0)
            tasks[1].cancel()  # already rerouted
            await settled()
            assert sorted(admitted) == [False, False, True]
            assert backend.load == 1
            until.set()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert backend.load == 0

    asyncio.run(work())


def test_a_request_goes_elsewhere_than_where_it_failed_or_is_asked_to_wait() -> None:
    backends = [Backend(name, 64) for name in "ab"]
    own = choose_backend(backends, "episode")
    other = next(backend for backend in backends if backend is not own)
    assert choose_backend(backends, "episode", failed=own) is other
    assert choose_backend([own], "episode", failed=own) is own
    own.overloaded(time.monotonic(), 60)
    assert choose_backend(backends, "episode") is other
    other.overloaded(time.monotonic(), 60)
    assert choose_backend(backends, "episode") is own


def test_a_server_that_bears_less_is_crowded_sooner() -> None:
    backends = [Backend(name, 64) for name in "ab"]
    own = choose_backend(backends, "episode")
    other = next(backend for backend in backends if backend is not own)
    own.in_flight = other.in_flight = 8
    assert choose_backend(backends, "episode") is own
    own.limit = 8.0
    assert choose_backend(backends, "episode") is other
