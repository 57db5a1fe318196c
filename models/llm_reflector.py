"""A language model behind an API as the reflector (GPT-4o in the paper).

Replies are asked for in a structured form (a JSON schema), and as two lines of plain text from servers that do not have
that. One that does not pass the checks is answered by the reason, and asked for again, up to `attempts` times; then the
deviation is refused, with the last reason: a calibration without a usable reflection is stored as rejected.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, as_completed

from configs.schema import CalibrationConfig
from models.background import Background
from models.endpoint import ChatRequest, Endpoint, EndpointFault, Reply
from models.policy import Message
from models.reflection_checks import Ungrounded, problem_with
from models.reflection_prompt import RESPONSE_FORMAT, again, conversation, draft_of
from models.reflector import Progress, Reflection, ReflectionFault, ReflectionRequest, Refused

Outcome = Reflection | Refused


UNANSWERED = {
    "context": "the transcript and the replies so far do not fit into the model's context",
    "filtered": "the provider refuses to answer this transcript",
}
"""Faults of one sample: it is data that there is no reflection on it."""


class LLMReflector:
    """See models.reflector.Reflector. All requests of a call are on their way at once."""

    def __init__(self, endpoint: Endpoint, config: CalibrationConfig, ungrounded: Ungrounded) -> None:
        self._endpoint, self._config, self._ungrounded = endpoint, config, ungrounded
        self._background = Background()
        self._structured = True

    @property
    def label(self) -> str:
        return self._config.model

    def reflect(
        self, requests: Sequence[ReflectionRequest], progress: Progress | None = None
    ) -> list[Outcome]:
        """Raises ReflectionFault where the server cannot be used; what it has answered by then is kept."""
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
        self._background.close(self._endpoint.close)

    def _give_up(self, futures: Sequence[Future[Outcome]]) -> None:
        """Stop what is not done; what is on its way is paid for, so it is waited for and kept."""
        self._background.cancel(futures)
        self._background.submit(self._endpoint.settle()).result()

    async def _reflect(self, request: ReflectionRequest) -> Outcome:
        said: list[Message] = []
        problem = ""
        for attempt in range(1, self._config.attempts + 1):
            try:
                reply = await self._ask(request, said)
            except EndpointFault as fault:
                if fault.kind not in UNANSWERED:
                    raise
                return Refused(UNANSWERED[fault.kind], attempt)
            draft = draft_of(reply.text)
            problem = problem_with(draft, request, self._ungrounded) or ""
            if draft and not problem:
                return Reflection(draft.thought, self.label, attempt)
            if reply.finish == "length":
                problem = f"it was cut off after {reply.tokens} tokens"
            said += again(reply.text, problem)
        return Refused(problem, self._config.attempts)

    async def _ask(self, request: ReflectionRequest, said: Sequence[Message]) -> Reply:
        """A reply, in the structured form where the server has it."""
        if self._structured:
            try:
                return await self._endpoint.chat(self._request(request, said, True))
            except EndpointFault as fault:
                if fault.kind != "refused":
                    raise
        reply = await self._endpoint.chat(self._request(request, said, False))
        self._structured = False  # only now is it known that the form was what the server refused
        return reply

    def _request(self, request: ReflectionRequest, said: Sequence[Message], structured: bool) -> ChatRequest:
        return ChatRequest(
            messages=[*conversation(request, structured), *said],
            max_tokens=self._config.max_tokens,
            limit="max_completion_tokens",  # newer models of OpenAI refuse max_tokens
            temperature=self._config.temperature,
            extra={"response_format": RESPONSE_FORMAT} if structured else {},
        )
