"""Coroutines of one thread in the loop of another: contexts, outcomes, cancelling, ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextvars import ContextVar

import pytest

from models.client.event_loop_thread import EventLoopThread

BATCH: ContextVar[str] = ContextVar("batch", default="none")


async def _nothing() -> None: ...


@pytest.fixture
def thread() -> Iterator[EventLoopThread]:
    running = EventLoopThread()
    yield running
    running.close(_nothing)


async def _batch() -> str:
    await asyncio.sleep(0)
    return BATCH.get()


def test_each_coroutine_has_the_context_of_its_caller_though_one_wake_starts_many(
    thread: EventLoopThread,
) -> None:
    held = threading.Event()

    async def hold() -> None:
        held.wait(10)  # all that follow are started together

    first = thread.submit(hold())
    futures = []
    for name in ("a", "b", "c"):
        BATCH.set(name)
        futures.append(thread.submit(_batch()))
    held.set()
    first.result(10)
    assert [future.result(10) for future in futures] == ["a", "b", "c"]


def test_nothing_is_forgotten_where_many_threads_submit(thread: EventLoopThread) -> None:
    async def same(number: int) -> int:
        return number

    found: list[int] = []

    def work(first: int) -> None:
        found.extend([thread.submit(same(number)).result(10) for number in range(first, first + 200)])

    threads = [threading.Thread(target=work, args=(200 * number,)) for number in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    assert sorted(found) == list(range(1200))


def test_an_exception_is_the_callers(thread: EventLoopThread) -> None:
    async def fail() -> None:
        raise KeyError("a")

    with pytest.raises(KeyError):
        thread.submit(fail()).result(10)


def test_what_is_cancelled_before_it_starts_never_runs_and_what_runs_ends(thread: EventLoopThread) -> None:
    held, ran, ended = threading.Event(), list[str](), threading.Event()

    async def hold() -> None:
        held.wait(10)

    async def run(name: str) -> None:
        ran.append(name)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    running = thread.submit(run("first"))
    while not ran:
        pass
    thread.submit(hold())
    waiting = thread.submit(run("second"))
    assert waiting.cancel()
    held.set()
    thread.cancel([running])
    assert ended.wait(10)
    for future in (running, waiting):
        with pytest.raises(CancelledError):
            future.result(10)
    assert ran == ["first"]


def test_after_the_end_nothing_starts(thread: EventLoopThread) -> None:
    thread.close(_nothing)
    with pytest.raises(RuntimeError, match="has ended"):
        thread.submit(_batch())
