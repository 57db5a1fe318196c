"""A policy whose checkpoint is served by OpenAI-compatible servers (vLLM)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any
from weakref import WeakSet

from models.client.calls import Reply
from models.client.chat_request import ChatRequest
from models.client.endpoint import Endpoint, EndpointFault
from models.client.errors import SAMPLE_ERRORS
from models.client.event_loop_thread import EventLoopThread
from models.policy import Generation, History, PolicyFault, Sampling, check_seeds
from models.stopping import Stopped
from models.thinking import TurnFormat
from models.turn_queue import Choices

_SEED_MASK = (1 << 63) - 1
"""Servers refuse seeds of more than 63 bits; turn seeds have 64."""
MIN_REFUSED, MAX_REFUSED_RATIO = 8, 9
"""From this many refused turns on, with more than this many for each answered one, the fault is not in single
histories."""
_SPECIAL = re.compile(r"[\\.^$*+?{}\[\]|()]")


class OpenAIPolicy:
    """See models.policy.Policy. Each request carries its own seed, so a result does not depend on what else is in the
    server's batch, up to float ties.

    A history that fills the context gives an empty turn with finish "length"; one that is refused for another reason
    an empty turn with finish "stop". If nearly all are refused, PolicyFault is raised.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        digest: str,
        turn_format: Callable[[bool], TurnFormat] = lambda thinking: TurnFormat(),
    ) -> None:
        """`turn_format` gives the turn format of the checkpoint's chat template, with thinking or without."""
        self._endpoint, self._digest, self._turn_format = endpoint, digest, turn_format
        self._loop_thread = EventLoopThread()
        self._queues: WeakSet[ConcurrentTurnQueue] = WeakSet()
        self.stopped = False
        self._answered = self._refused = 0

    @property
    def digest(self) -> str:
        return self._digest

    def act(self, histories: Sequence[History], seeds: Sequence[int], sampling: Sampling) -> list[Generation]:
        check_seeds(histories, seeds)
        queue, turns = self.turn_queue(sampling), dict[int, Generation]()
        try:
            for ticket, (history, seed) in enumerate(zip(histories, seeds, strict=True)):
                queue.ask(ticket, history, seed)
            while len(turns) < len(histories):
                turns |= dict(queue.answers())
        finally:
            queue.cancel()
        return [turns[ticket] for ticket in range(len(histories))]

    def turn_queue(self, sampling: Sampling) -> ConcurrentTurnQueue:
        queue = ConcurrentTurnQueue(self, sampling)
        self._queues.add(queue)
        return queue

    def stop(self) -> None:
        """See models.stopping.Stoppable."""
        self.stopped = True
        for queue in list(self._queues):
            queue.wake()

    def submit(
        self, history: History, seed: int, sampling: Sampling, choices: Choices = None
    ) -> Future[Generation]:
        """Start one turn."""
        request = _request(history, seed, sampling, choices, self._turn_format(sampling.thinking))
        return self._loop_thread.submit(self._turn(request, self._turn_format(sampling.thinking)))

    def cancel(self, turns: Iterable[Future[Generation]]) -> None:
        """Cancel the turns that were not sent yet; wait for those in flight, so that their replies are stored."""
        self._loop_thread.cancel(turns)
        self._loop_thread.submit(self._endpoint.wait_for_in_flight()).result()

    def close(self) -> None:
        """Close the connections."""
        self._loop_thread.close(self._endpoint.close)

    async def _turn(self, request: ChatRequest, turn_format: TurnFormat) -> Generation:
        try:
            # the first message identifies the task: its rollouts share a prefix that one server caches
            reply = await self._endpoint.chat(request, request.messages[0]["content"])
        except EndpointFault as fault:
            if fault.kind not in SAMPLE_ERRORS:
                raise PolicyFault(str(fault)) from fault
            self._refused += 1
            if self._refused >= MIN_REFUSED and self._refused > MAX_REFUSED_RATIO * self._answered:
                raise PolicyFault(
                    f"{fault}; nearly all other turns were refused too: {self._refused}"
                ) from fault
            return Generation("", 0, "length" if fault.kind == "context" else "stop")
        self._answered += 1
        return _generation(reply, turn_format)


class ConcurrentTurnQueue:
    """Sends each request at once. See models.turn_queue.TurnQueue."""

    def __init__(self, policy: OpenAIPolicy, sampling: Sampling) -> None:
        self._policy, self._sampling = policy, sampling
        self._asked: dict[Future[Generation], int] = {}
        self._done: SimpleQueue[Future[Generation] | None] = SimpleQueue()  # None: woken

    def ask(self, ticket: int, history: History, seed: int, choices: Choices = None) -> None:
        self._check()
        future = self._policy.submit(list(history), seed, self._sampling, choices)
        self._asked[future] = ticket
        future.add_done_callback(self._done.put)

    def answers(self) -> list[tuple[int, Generation]]:
        done = [self._done.get()]
        self._check()
        while not self._done.empty():
            done.append(self._done.get())
        return [(self._asked.pop(future), future.result()) for future in done if future]

    def _check(self) -> None:
        if self._policy.stopped:
            raise Stopped

    def wake(self) -> None:
        self._done.put(None)

    def cancel(self) -> None:
        if self._asked:
            self._policy.cancel(self._asked)
        self._asked.clear()


def _request(
    history: History, seed: int, sampling: Sampling, choices: Choices, turn_format: TurnFormat
) -> ChatRequest:
    greedy = sampling.temperature == 0
    extra: dict[str, Any] = (
        {"chat_template_kwargs": dict(turn_format.arguments)} if turn_format.arguments else {}
    )
    if choices is not None:
        extra["structured_outputs"] = {"regex": turn_regex(choices, turn_format.lead)}
    return ChatRequest(
        messages=history,
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        top_p=None if greedy else sampling.top_p,
        seed=None if greedy else seed & _SEED_MASK,
        stop=sampling.stop,
        extra=extra,
        opened=turn_format.opened,
        lead=turn_format.lead,
    )


def turn_regex(choices: Sequence[str], lead: str = "") -> str:
    """A regular expression for a turn with any thought and one of the actions. `lead`: what comes before it, such as
    the end of a thinking block that the prompt has opened."""
    # not re.escape: vLLM's grammar compiler warns about each escaped space
    before, *actions = (_SPECIAL.sub(r"\\\g<0>", text).replace("\n", r"\n") for text in (lead, *choices))
    return rf"{before}Thought: [^\n]+\nAction: ({'|'.join(actions)})"


def _generation(reply: Reply, turn_format: TurnFormat) -> Generation:
    """Servers count all tokens together, so the thinking tokens are counted here."""
    if not reply.thinking:
        return Generation(reply.text, reply.tokens, reply.finish)
    thought = min(turn_format.count(reply.thinking), reply.tokens) if reply.text else reply.tokens
    return Generation(reply.text, reply.tokens, reply.finish, reply.thinking, thought)
