"""A checkpoint behind servers that speak the OpenAI API (vLLM) as a policy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

from models.client.background import Background
from models.client.calls import Reply
from models.client.chat_request import ChatRequest
from models.client.endpoint import Endpoint, EndpointFault
from models.client.errors import OF_ONE_SAMPLE
from models.policy import Generation, History, PolicyFault, Sampling, check_seeds
from models.thinking import TurnFormat
from models.turn_queue import Choices

_SEEDS = (1 << 63) - 1
"""Servers refuse seeds of more than 63 bits; those of turns have 64."""
FEW, REFUSED = 8, 9
"""So many refused turns, and so many for each answered one, are no oddity of single histories."""
_SPECIAL = re.compile(r"[\\.^$*+?{}\[\]|()]")


class OpenAIPolicy:
    """See models.policy.Policy. Each request carries its own seed, so a result does not depend on what else the server
    does, up to the float ties that other batch shapes bring.

    A history that leaves no room in the context is answered by an empty turn with finish "length", one that is refused
    for another reason by an empty turn with finish "stop". Where nearly all are refused it is a fault.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        digest: str,
        stopped: Callable[[], None] = lambda: None,
        formats: Callable[[bool], TurnFormat] = lambda thinking: TurnFormat(),
    ) -> None:
        """`stopped` is called at the end, when nothing is on its way any more. `formats` tells how the checkpoint's
        chat template has turns written, with thinking or without."""
        self._endpoint, self._digest, self._stopped, self._formats = endpoint, digest, stopped, formats
        self._background = Background()
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
            queue.leave()
        return [turns[ticket] for ticket in range(len(histories))]

    def turn_queue(self, sampling: Sampling) -> InFlight:
        return InFlight(self, sampling)

    def submit(
        self, history: History, seed: int, sampling: Sampling, choices: Choices = None
    ) -> Future[Generation]:
        """Start one turn."""
        request = _request(history, seed, sampling, choices, self._formats(sampling.thinking))
        return self._background.submit(self._turn(request, self._formats(sampling.thinking)))

    def give_up(self, turns: Iterable[Future[Generation]]) -> None:
        """Send none of these turns that is not on its way yet; wait for those that are, so that they are kept."""
        self._background.cancel(turns)
        self._background.submit(self._endpoint.settle()).result()

    def close(self) -> None:
        """Let go of the connections, and of the server where it was started for this policy."""
        try:
            self._background.close(self._endpoint.close)
        finally:
            self._stopped()

    async def _turn(self, request: ChatRequest, how: TurnFormat) -> Generation:
        try:
            # the first message tells the task: its rollouts share a prefix, which one server keeps computed
            reply = await self._endpoint.chat(request, request.messages[0]["content"])
        except EndpointFault as fault:
            if fault.kind not in OF_ONE_SAMPLE:
                raise PolicyFault(str(fault)) from fault
            self._refused += 1
            if self._refused >= FEW and self._refused > REFUSED * self._answered:
                raise PolicyFault(f"{fault}; so were nearly all others: {self._refused}") from fault
            return Generation("", 0, "length" if fault.kind == "context" else "stop")
        self._answered += 1
        return _generation(reply, how)


class InFlight:
    """Every question is on its way at once. See models.turn_queue.TurnQueue."""

    def __init__(self, policy: OpenAIPolicy, sampling: Sampling) -> None:
        self._policy, self._sampling = policy, sampling
        self._asked: dict[Future[Generation], int] = {}
        self._done: SimpleQueue[Future[Generation]] = SimpleQueue()

    def ask(self, ticket: int, history: History, seed: int, choices: Choices = None) -> None:
        future = self._policy.submit(list(history), seed, self._sampling, choices)
        self._asked[future] = ticket
        future.add_done_callback(self._done.put)

    def answers(self) -> list[tuple[int, Generation]]:
        done = [self._done.get()]
        while not self._done.empty():
            done.append(self._done.get())
        return [(self._asked.pop(future), future.result()) for future in done]

    def leave(self) -> None:
        if self._asked:
            self._policy.give_up(self._asked)
        self._asked.clear()


def _request(
    history: History, seed: int, sampling: Sampling, choices: Choices, how: TurnFormat
) -> ChatRequest:
    greedy = sampling.temperature == 0
    extra: dict[str, Any] = {"chat_template_kwargs": dict(how.arguments)} if how.arguments else {}
    if choices is not None:
        extra["structured_outputs"] = {"regex": turn_pattern(choices, how.lead)}
    return ChatRequest(
        messages=history,
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        top_p=None if greedy else sampling.top_p,
        seed=None if greedy else seed & _SEEDS,
        stop=sampling.stop,
        extra=extra,
        opened=how.opened,
        lead=how.lead,
    )


def turn_pattern(choices: Sequence[str], lead: str = "") -> str:
    """A turn with a free thought and one of the actions, as a regular expression. `lead`: what comes before it, such as
    the end of a block of thinking that the prompt has opened."""
    # not re.escape: vLLM's grammars warn of each escaped blank
    before, *actions = (_SPECIAL.sub(r"\\\g<0>", text).replace("\n", r"\n") for text in (lead, *choices))
    return rf"{before}Thought: [^\n]+\nAction: ({'|'.join(actions)})"


def _generation(reply: Reply, how: TurnFormat) -> Generation:
    """Servers count all tokens together: those of the thinking are counted here."""
    if not reply.thinking:
        return Generation(reply.text, reply.tokens, reply.finish)
    thought = min(how.count(reply.thinking), reply.tokens) if reply.text else reply.tokens
    return Generation(reply.text, reply.tokens, reply.finish, reply.thinking, thought)
