"""Asks a language model behind an API questions whose replies are checked.

Replies are requested as JSON with a schema, or in the form of a plain text from servers without that feature. A reply
that fails the check is sent back with the reason, up to `attempts` times; after that the outcome is NoAnswer with the
last reason. The same happens when the model or its server refuses. If nearly all samples fail, the run stops
(`models/asking/usability.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, as_completed
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from models.asking.usability import PROBE_SAMPLES, UsabilityMonitor
from models.client.chat_request import ChatRequest
from models.client.endpoint import Endpoint, EndpointFault
from models.client.event_loop_thread import EventLoopThread
from models.policy import Message
from models.stopping import Stopped
from steca.vocabulary import Progress

A = TypeVar("A")

SAMPLE_ERROR_REASONS = {
    "context": "the transcript and the replies so far do not fit into the model's context",
    "filtered": "the provider refuses to answer this transcript",
    "refused_sample": "the server refuses this transcript and answers others",
}
"""Errors of one sample, stored as the reason for its missing answer."""


class AskingFault(Exception):
    """A language model that cannot be used. The message says what to do."""


class AskingConfig(Protocol):
    """The settings of a language model: calibration or judge."""

    @property
    def model(self) -> str: ...
    @property
    def temperature(self) -> float | None: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def attempts(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Question(Generic[A]):
    """The messages that ask for JSON, and those that ask for plain text. `read` gives the answer in a reply's text, or
    the reason why there is none, worded for the retry prompt."""

    structured: Sequence[Message]
    plain: Sequence[Message]
    response_format: Mapping[str, Any]
    read: Callable[[str], A | Unusable]


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why a reply is unusable."""

    reason: str


@dataclass(frozen=True, slots=True)
class Answer(Generic[A]):
    """What was read from the last of `attempts` replies."""

    value: A
    attempts: int


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No usable reply: why the last of `attempts` was unusable."""

    reason: str
    attempts: int


class Asker(Generic[A]):
    """Once one reply was usable, all questions of a call are in flight at once."""

    def __init__(
        self,
        endpoint: Endpoint,
        config: AskingConfig,
        usability: UsabilityMonitor,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        """`usability` says when to stop the run; `log` gets a line at the end if most replies were unusable."""
        self._endpoint, self._config, self._usability, self._log = endpoint, config, usability, log
        self._loop_thread = EventLoopThread()
        self._probes = asyncio.Semaphore(PROBE_SAMPLES)
        self._asked: set[Future[Answer[A] | NoAnswer]] = set()

    def ask(
        self, questions: Sequence[Question[A]], progress: Progress | None = None
    ) -> list[Answer[A] | NoAnswer]:
        """One outcome for each question, in order. Raises AskingFault if the server or its model cannot be used;
        replies received until then are kept."""
        futures = [self._loop_thread.submit(self._ask(question)) for question in questions]
        self._asked.update(futures)
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                if progress:
                    progress(done, len(questions))
        except EndpointFault as fault:
            raise AskingFault(str(fault)) from fault
        except CancelledError:
            raise Stopped from None
        finally:
            self._asked.difference_update(futures)
            self._cancel(futures)
        return [future.result() for future in futures]

    def stop(self) -> None:
        """See models.stopping.Stoppable."""
        self._loop_thread.cancel(list(self._asked))

    def close(self) -> None:
        """Close the connections; log a summary if most replies were unusable."""
        if self._usability.mostly_unusable and not self._usability.too_low:
            self._log(self._usability.summary())
        self._loop_thread.close(self._endpoint.close)

    def _cancel(self, futures: Sequence[Future[Answer[A] | NoAnswer]]) -> None:
        """Cancel unfinished work; wait for requests in flight, which are paid for, so that their replies are kept."""
        self._loop_thread.cancel(futures)
        self._loop_thread.submit(self._endpoint.wait_for_in_flight()).result()

    async def _ask(self, question: Question[A]) -> Answer[A] | NoAnswer:
        """Limit the requests in flight until one reply was usable: the others may not be worth their price."""
        if not self._usability.usable:
            async with self._probes:
                if not self._usability.usable:
                    return await self._ask_counted(question)
        return await self._ask_counted(question)

    async def _ask_counted(self, question: Question[A]) -> Answer[A] | NoAnswer:
        sample = _Sample()
        outcome = await self._outcome(question, sample)
        reason = outcome.reason if isinstance(outcome, NoAnswer) else None
        self._usability.record(reason, sample.reply, sample.new)
        if self._usability.too_low:
            raise AskingFault(self._usability.fault())
        return outcome

    async def _outcome(self, question: Question[A], sample: _Sample) -> Answer[A] | NoAnswer:
        problem = ""
        for attempt in range(1, self._config.attempts + 1):
            chat_request = self._request(question, sample.dialogue)
            sample.new = sample.new or self._endpoint.stored_reply(chat_request) is None
            try:
                reply = await self._endpoint.chat(chat_request)
            except EndpointFault as fault:
                if fault.kind not in SAMPLE_ERROR_REASONS:
                    raise
                return NoAnswer(f"{SAMPLE_ERROR_REASONS[fault.kind]} ({fault.reason})", attempt)
            sample.reply = reply.text or reply.thinking or reply.refusal
            if reply.refusal:
                return NoAnswer(f"the model refuses: {reply.refusal}", attempt)
            read = question.read(reply.text)
            if not isinstance(read, Unusable):
                return Answer(read, attempt)
            problem = problem_of(read.reason, reply)
            sample.dialogue += retry_messages(reply.text, problem)
        return NoAnswer(problem, self._config.attempts)

    def _request(self, question: Question[A], dialogue: Sequence[Message]) -> ChatRequest:
        return ChatRequest(
            messages=[*question.structured, *dialogue],
            max_tokens=self._config.max_tokens,
            limit="max_completion_tokens",  # newer models of OpenAI refuse max_tokens
            temperature=self._config.temperature,
            extra={"response_format": question.response_format},
            plain=[*question.plain, *dialogue],
        )


class Written(Protocol):
    """A reply or a generated turn."""

    @property
    def text(self) -> str: ...
    @property
    def tokens(self) -> int: ...
    @property
    def finish(self) -> str: ...
    @property
    def thinking(self) -> str: ...


def problem_of(reason: str, reply: Written) -> str:
    """Why a reply is unusable: `reason`, unless it was cut off or holds thinking only."""
    only = " of thinking, before its answer began" if reply.thinking and not reply.text else ""
    if reply.finish == "length":
        return f"it was cut off after {reply.tokens} tokens{only}"
    return "it holds no answer, only thinking" if only else reason


def retry_messages(reply: str, problem: str) -> list[Message]:
    """The messages after an unusable reply. Their texts are part of request keys."""
    return [
        {"role": "assistant", "content": reply or "(nothing)"},
        {"role": "user", "content": f"This cannot be used: {problem}. Write it again, in the same form."},
    ]


class _Sample:
    """One question in progress: the failed replies so far, the last reply, and whether any reply was not in the call
    log."""

    def __init__(self) -> None:
        self.dialogue: list[Message] = []
        self.reply = ""
        self.new = False
