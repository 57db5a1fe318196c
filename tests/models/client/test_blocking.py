"""Nothing that waits, on a disk or in an environment, keeps requests from being sent and answered."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from models.client.calls import Call, Reply
from models.served.openai_policy import OpenAIPolicy
from tests.support.call_logs import MemoryCallLog
from tests.support.endpoints import MODEL, ask, endpoint_of, texts
from tests.support.fake_openai.server import FakeOpenAI
from tests.support.rollouts_toys import SAMPLED


class OnDisk(MemoryCallLog):
    """A call log whose `keep` waits until `go` is set, for half a second at most."""

    def __init__(self, blocking: bool) -> None:
        super().__init__()
        self.blocking = blocking  # type: ignore[misc]
        self.waiting, self.go, self.in_time = threading.Event(), threading.Event(), list[bool]()

    def keep(self, key: str, reply: Reply, call: Call) -> None:
        self.waiting.set()
        self.in_time.append(self.go.wait(0.5))
        super().keep(key, reply, call)


@pytest.mark.parametrize("blocking", [True, False])
def test_a_call_log_that_waits_for_its_disk_holds_up_only_its_own_reply(blocking: bool) -> None:
    """The control, a log that does not say that it blocks, holds up the whole loop."""
    call_log = OnDisk(blocking)

    async def work() -> None:
        endpoint = endpoint_of(server, call_log=call_log)
        first = asyncio.create_task(endpoint.chat(ask(0)))
        while not call_log.waiting.is_set() and not first.done():
            await asyncio.sleep(0.001)
        call_log.go.set()  # in time only if the loop runs while `keep` waits
        assert len(texts([await first])) == 1
        await endpoint.close()

    with FakeOpenAI(MODEL, dialect="vllm") as server:
        asyncio.run(work())
    assert call_log.in_time == [blocking]
    assert len(call_log.kept) == 1


def _sleeping(done: Callable[[], bool]) -> bool:
    return _waited(done, lambda: time.sleep(0.05))


def _computing(done: Callable[[], bool]) -> bool:
    return _waited(done, lambda: sum(number * number for number in range(100_000)))


def _waited(done: Callable[[], bool], step: Callable[[], object]) -> bool:
    """An environment's step that ends once `done`, or without success after a second."""
    deadline = time.monotonic() + 1.0
    while not done() and time.monotonic() < deadline:
        step()
    return done()


@pytest.mark.parametrize("step", [_sleeping, _computing])
@pytest.mark.parametrize("in_loop", [False, True])
def test_requests_are_sent_and_answered_while_an_environment_steps(
    step: Callable[[Callable[[], bool]], bool], in_loop: bool
) -> None:
    """12 requests, 3 at a time, end during one step. The control: the same step in the event loop stops them."""
    call_log = MemoryCallLog()
    with FakeOpenAI(MODEL, dialect="vllm", latency=0.02) as server:
        policy = OpenAIPolicy(endpoint_of(server, call_log=call_log, in_flight=3), MODEL)
        try:
            queue = policy.turn_queue(SAMPLED)
            for number in range(12):
                queue.ask(number, ask(number).messages, number)

            def answered() -> bool:
                return len(call_log.calls) == 12

            async def stepped() -> bool:
                return step(answered)

            if in_loop:
                assert not policy._loop_thread.submit(stepped()).result(10)
            else:
                assert step(answered)
            found = 0
            while found < 12:
                found += len(queue.answers())
        finally:
            policy.close()
