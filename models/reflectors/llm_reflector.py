"""A language model behind an API as the reflector (GPT-4o in the paper).

Replies are requested as JSON with a schema, or as two lines of plain text from servers without that feature. A reply
that fails the checks is sent back with the reason, up to `attempts` times; after that the outcome is NoReflection with
the last reason, and the calibration is stored as rejected. The same happens when the model or its server refuses. If
nearly all samples fail, the run stops (`models/reflectors/usability.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, as_completed

from configs.schema import CalibrationConfig
from models.client.calls import Reply
from models.client.chat_request import ChatRequest
from models.client.endpoint import Endpoint, EndpointFault
from models.client.event_loop_thread import EventLoopThread
from models.policy import Message
from models.reflectors.checks import Draft, UngroundedNames, problem_with
from models.reflectors.drafts import parse_draft
from models.reflectors.prompt import RESPONSE_FORMAT, conversation, retry_messages
from models.reflectors.reflector import NoReflection, Reflection, ReflectionFault, ReflectionRequest
from models.reflectors.usability import PROBE_SAMPLES, UsabilityMonitor
from steca.vocabulary import Progress

Outcome = Reflection | NoReflection

SAMPLE_ERROR_REASONS = {
    "context": "the transcript and the replies so far do not fit into the model's context",
    "filtered": "the provider refuses to answer this transcript",
    "refused_sample": "the server refuses this transcript and answers others",
}
"""Errors of one sample, stored as the reason for its missing reflection."""


class LLMReflector:
    """See models.reflectors.reflector.Reflector. Once one reflection was usable, all requests of a call are in flight
    at once."""

    def __init__(
        self,
        endpoint: Endpoint,
        config: CalibrationConfig,
        ungrounded: UngroundedNames,
        least_usable: float = 0.1,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        """`least_usable`: a smaller share of usable reflections stops the run; `log` gets a line at the end if most
        were unusable."""
        self._endpoint, self._config, self._ungrounded = endpoint, config, ungrounded
        self._loop_thread = EventLoopThread()
        self._usability, self._log = UsabilityMonitor(config.model, least_usable), log
        self._probes = asyncio.Semaphore(PROBE_SAMPLES)

    @property
    def label(self) -> str:
        return self._config.model

    def reflect(
        self, requests: Sequence[ReflectionRequest], progress: Progress | None = None
    ) -> list[Outcome]:
        """Raises ReflectionFault if the server or its model cannot be used; replies received until then are kept."""
        futures = [self._loop_thread.submit(self._reflect(request)) for request in requests]
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                if progress:
                    progress(done, len(requests))
        except EndpointFault as fault:
            raise ReflectionFault(str(fault)) from fault
        finally:
            self._cancel(futures)
        return [future.result() for future in futures]

    def close(self) -> None:
        """Close the connections; log a summary if most reflections were unusable."""
        if self._usability.mostly_unusable and not self._usability.too_low:
            self._log(self._usability.summary())
        self._loop_thread.close(self._endpoint.close)

    def _cancel(self, futures: Sequence[Future[Outcome]]) -> None:
        """Cancel unfinished work; wait for requests in flight, which are paid for, so that their replies are kept."""
        self._loop_thread.cancel(futures)
        self._loop_thread.submit(self._endpoint.wait_for_in_flight()).result()

    async def _reflect(self, request: ReflectionRequest) -> Outcome:
        """Limit the requests in flight until one reflection was usable: the others may not be worth their price."""
        if not self._usability.usable:
            async with self._probes:
                if not self._usability.usable:
                    return await self._reflect_counted(request)
        return await self._reflect_counted(request)

    async def _reflect_counted(self, request: ReflectionRequest) -> Outcome:
        sample = _Sample()
        outcome = await self._outcome(request, sample)
        reason = outcome.reason if isinstance(outcome, NoReflection) else None
        self._usability.record(reason, sample.reply, sample.new)
        if self._usability.too_low:
            raise ReflectionFault(self._usability.fault())
        return outcome

    async def _outcome(self, request: ReflectionRequest, sample: _Sample) -> Outcome:
        problem = ""
        for attempt in range(1, self._config.attempts + 1):
            chat_request = self._request(request, sample.dialogue)
            sample.new = sample.new or self._endpoint.stored_reply(chat_request) is None
            try:
                reply = await self._endpoint.chat(chat_request)
            except EndpointFault as fault:
                if fault.kind not in SAMPLE_ERROR_REASONS:
                    raise
                return NoReflection(f"{SAMPLE_ERROR_REASONS[fault.kind]} ({fault.reason})", attempt)
            sample.reply = reply.text or reply.thinking or reply.refusal
            if reply.refusal:
                return NoReflection(f"the model refuses: {reply.refusal}", attempt)
            draft = parse_draft(reply.text)
            problem = self._problem(draft, reply, request)
            if draft and not problem:
                return Reflection(draft.thought, self.label, attempt)
            sample.dialogue += retry_messages(reply.text, problem)
        return NoReflection(problem, self._config.attempts)

    def _problem(self, draft: Draft | None, reply: Reply, request: ReflectionRequest) -> str:
        """Why a reply is unusable; empty if it is usable."""
        problem = problem_with(draft, request, self._ungrounded)
        if problem is None:
            return ""
        only = " of thinking, before its answer began" if reply.thinking and not reply.text else ""
        if reply.finish == "length":
            return f"it was cut off after {reply.tokens} tokens{only}"
        return "it holds no answer, only thinking" if only else problem

    def _request(self, request: ReflectionRequest, dialogue: Sequence[Message]) -> ChatRequest:
        return ChatRequest(
            messages=[*conversation(request, structured=True), *dialogue],
            max_tokens=self._config.max_tokens,
            limit="max_completion_tokens",  # newer models of OpenAI refuse max_tokens
            temperature=self._config.temperature,
            extra={"response_format": RESPONSE_FORMAT},
            plain=[*conversation(request, structured=False), *dialogue],
        )


class _Sample:
    """One deviation in progress: the failed replies so far, the last reply, and whether any reply was not in the call
    log."""

    def __init__(self) -> None:
        self.dialogue: list[Message] = []
        self.reply = ""
        self.new = False
