"""A language model behind an API as the reflector (GPT-4o in the paper).

Replies are asked for in a structured form (a JSON schema), and as two lines of plain text from servers that do not have
that. One that does not pass the checks is answered by the reason, and asked for again, up to `attempts` times; then the
deviation is refused, with the last reason: a calibration without a usable reflection is stored as rejected. So is one
that the model or its server refuses. Where nearly all are, the run stops (`models/reflectors/usable.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, as_completed

from configs.schema import CalibrationConfig
from models.client.background import Background
from models.client.calls import Reply
from models.client.chat_request import ChatRequest
from models.client.endpoint import Endpoint, EndpointFault
from models.policy import Message
from models.reflectors.checks import Draft, Ungrounded, problem_with
from models.reflectors.drafts import draft_of
from models.reflectors.prompt import RESPONSE_FORMAT, again, conversation
from models.reflectors.reflector import Reflection, ReflectionFault, ReflectionRequest, Refused
from models.reflectors.usable import FEW, ReflectionYield
from steca.vocabulary import Progress

Outcome = Reflection | Refused


UNANSWERED = {
    "context": "the transcript and the replies so far do not fit into the model's context",
    "filtered": "the provider refuses to answer this transcript",
    "refused_sample": "the server refuses this transcript and answers others",
}
"""Faults of one sample: it is data that there is no reflection on it."""


class LLMReflector:
    """See models.reflectors.reflector.Reflector. All requests of a call are in flight at once, as soon as one
    reflection was usable."""

    def __init__(
        self,
        endpoint: Endpoint,
        config: CalibrationConfig,
        ungrounded: Ungrounded,
        least_usable: float = 0.1,
        says: Callable[[str], None] = lambda line: None,
    ) -> None:
        """`least_usable`: a smaller share of usable reflections ends it; `says` hears in the end if most were not."""
        self._endpoint, self._config, self._ungrounded = endpoint, config, ungrounded
        self._background = Background()
        self._yield, self._says = ReflectionYield(config.model, least_usable), says
        self._first = asyncio.Semaphore(FEW)

    @property
    def label(self) -> str:
        return self._config.model

    def reflect(
        self, requests: Sequence[ReflectionRequest], progress: Progress | None = None
    ) -> list[Outcome]:
        """Raises ReflectionFault where the server cannot be used, or its model; what was answered by then is kept."""
        futures = [self._background.submit(self._reflect(request)) for request in requests]
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                if progress:
                    progress(done, len(requests))
        except EndpointFault as fault:
            raise ReflectionFault(str(fault)) from fault
        finally:
            self._give_up(futures)
        return [future.result() for future in futures]

    def close(self) -> None:
        """Let go of the connections; say so if most reflections could not be used."""
        if self._yield.worth_telling and not self._yield.too_low:
            self._says(self._yield.told())
        self._background.close(self._endpoint.close)

    def _give_up(self, futures: Sequence[Future[Outcome]]) -> None:
        """Stop what is not done; what is on its way is paid for, so it is waited for and kept."""
        self._background.cancel(futures)
        self._background.submit(self._endpoint.settle()).result()

    async def _reflect(self, request: ReflectionRequest) -> Outcome:
        """The first ones show whether the others are worth their price."""
        if not self._yield.usable:
            async with self._first:
                if not self._yield.usable:
                    return await self._counted(request)
        return await self._counted(request)

    async def _counted(self, request: ReflectionRequest) -> Outcome:
        sample = _Sample()
        outcome = await self._outcome(request, sample)
        reason = outcome.reason if isinstance(outcome, Refused) else None
        self._yield.count(reason, sample.reply, sample.new)
        if self._yield.too_low:
            raise ReflectionFault(self._yield.fault())
        return outcome

    async def _outcome(self, request: ReflectionRequest, sample: _Sample) -> Outcome:
        problem = ""
        for attempt in range(1, self._config.attempts + 1):
            asked = self._request(request, sample.said)
            sample.new = sample.new or self._endpoint.known(asked) is None
            try:
                reply = await self._endpoint.chat(asked)
            except EndpointFault as fault:
                if fault.kind not in UNANSWERED:
                    raise
                return Refused(f"{UNANSWERED[fault.kind]} ({fault.reason})", attempt)
            sample.reply = reply.text or reply.thinking or reply.refusal
            if reply.refusal:
                return Refused(f"the model refuses: {reply.refusal}", attempt)
            draft = draft_of(reply.text)
            problem = self._problem(draft, reply, request)
            if draft and not problem:
                return Reflection(draft.thought, self.label, attempt)
            sample.said += again(reply.text, problem)
        return Refused(problem, self._config.attempts)

    def _problem(self, draft: Draft | None, reply: Reply, request: ReflectionRequest) -> str:
        """Why a reply cannot be used; empty where it can."""
        problem = problem_with(draft, request, self._ungrounded)
        if problem is None:
            return ""
        only = " of thinking, before its answer began" if reply.thinking and not reply.text else ""
        if reply.finish == "length":
            return f"it was cut off after {reply.tokens} tokens{only}"
        return "it holds no answer, only thinking" if only else problem

    def _request(self, request: ReflectionRequest, said: Sequence[Message]) -> ChatRequest:
        return ChatRequest(
            messages=[*conversation(request, structured=True), *said],
            max_tokens=self._config.max_tokens,
            limit="max_completion_tokens",  # newer models of OpenAI refuse max_tokens
            temperature=self._config.temperature,
            extra={"response_format": RESPONSE_FORMAT},
            plain=[*conversation(request, structured=False), *said],
        )


class _Sample:
    """One deviation at work: what was said, the last reply, and whether one was newly asked for."""

    def __init__(self) -> None:
        self.said: list[Message] = []
        self.reply = ""
        self.new = False
