"""Chat completions from one or more servers that speak the OpenAI API, with many requests in flight at once.

Transient errors (rate limits, overload, timeouts, dropped connections, unreadable answers) are retried with backoff, or
after the pause that the server asks for, until a request has been failing for `patience_seconds`; meanwhile fewer
requests are sent. Other errors are raised at once. A refusal is diagnosed (`models/client/diagnosis.py`): a field that
the server does not support is left out from then on, or sent under its other name. Each answer goes to the `CallLog` as
soon as it arrives, and a request whose answer is in the call log is not sent: nothing is paid for twice, even if the
process is killed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakSet, WeakValueDictionary

import httpx2
import openai
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from configs.servers import EndpointConfig
from models.client.answers import Answer, read_answer
from models.client.attempts import Attempts, requested_pause
from models.client.calls import Call, CallLog, Reply
from models.client.capabilities import characters_of
from models.client.chat_request import LIMIT_NAMES, ChatRequest, features
from models.client.errors import OVERLOAD, RequestError, as_request_error
from models.client.load_balancing import Backend, choose_backend
from models.client.refusals import Refusal, explain_refusal, fallback_for
from models.client.remedies import remedy
from models.client.transport.http_client import http_client
from steca.vocabulary import CallPurpose

BACKOFF = wait_random_exponential(multiplier=0.5, max=30)
"""Pause between two attempts: random, up to 0.5, 1, 2, ... 30 seconds."""

_ENDPOINTS: WeakSet[Endpoint] = WeakSet()
_DRAINING = threading.Event()


def drain(seconds: float) -> None:
    """Before the process ends: send nothing more and wait for requests in flight, which are paid for anyway."""
    _DRAINING.set()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(endpoint.in_flight for endpoint in list(_ENDPOINTS)):
        time.sleep(0.02)


class EndpointFault(Exception):
    """A request that failed for good. The message names the server and the model and says what to do; `reason` is the
    server's message."""

    def __init__(self, message: str, kind: str, reason: str = "") -> None:
        super().__init__(message)
        self.kind, self.reason = kind, reason or message


Verify = Callable[[str], str]
"""Maps a server's base URL to the name under which it serves our model. May block. Raises RequestError, or
EndpointFault if it serves another model."""


class Endpoint:
    """One model behind one or more servers. Bound to the event loop in which it is first used."""

    def __init__(
        self,
        config: EndpointConfig,
        key: str | None,
        purpose: CallPurpose,
        model: str,
        call_log: CallLog,
        verify: Verify,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        """`model` is part of the key of stored replies: a checkpoint's digest, or a provider's model name. `log` gets a
        line when a server starts to fail, when it recovers, and when it does not support a feature."""
        self._config, self._key, self._purpose, self._model = config, key, purpose, model
        self._call_log, self._verify, self._log = call_log, verify, log
        self.backends = [Backend(url, config.in_flight) for url in config.base_urls]
        self._clients: dict[str, openai.AsyncOpenAI] = {}
        self._sending: set[asyncio.Task[Reply]] = set()
        self._request_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        _ENDPOINTS.add(self)

    @property
    def in_flight(self) -> int:
        """How many requests were sent and not answered yet."""
        return len(self._sending)

    async def chat(self, request: ChatRequest, affinity: str = "") -> Reply:
        """One reply; requests with the same `affinity` prefer the same server. Raises EndpointFault."""
        key = self.key(request)
        # an equal request waits for this one's reply
        async with self._request_locks.setdefault(key, asyncio.Lock()):
            stored = self._stored_reply(request, key)
            return stored if stored is not None else await self._send_with_retries(request, key, affinity)

    def stored_reply(self, request: ChatRequest) -> Reply | None:
        """The reply in the call log, if any; earlier versions stored plain-text replies under the request as sent."""
        return self._stored_reply(request, self.key(request))

    def _stored_reply(self, request: ChatRequest, key: str) -> Reply | None:
        stored = self._call_log.find(key)
        if stored is None and request.plain is not None:
            stored = self._call_log.find(self.key(replace(request, messages=request.plain, extra={})))
        return stored

    def key(self, request: ChatRequest) -> str:
        """Content address of a request to this model as wanted, whatever features the servers support."""
        return self._key_of(request.fields())

    def _key_of(self, body: Mapping[str, Any]) -> str:
        text = json.dumps([self._model, body], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    async def wait_for_in_flight(self) -> None:
        """Wait until the requests in flight are answered and stored: they are paid for, even without their callers."""
        await asyncio.sleep(0)  # requests that have just got a slot are sent
        while self._sending:
            await asyncio.wait(self._sending)

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()

    # One request

    async def _send_with_retries(self, request: ChatRequest, key: str, affinity: str) -> Reply:
        attempts = Attempts(self._config.patience_seconds)
        try:
            try:
                return await self._attempt(request, key, affinity, attempts)
            except RequestError as error:
                return await self._retry(error, request, key, affinity, attempts)
        except RequestError as error:
            self._call_log.failed(key, self._call(attempts, None))
            self._log_refused_sample(error, attempts)
            raise self._fault(error, attempts) from error

    async def _retry(
        self, first: RequestError, request: ChatRequest, key: str, affinity: str, attempts: Attempts
    ) -> Reply:
        """Send again what has failed with `first`. Retrying is set up only here, as most requests need none."""
        failed: RequestError | None = first
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(_is_transient), wait=_pause, stop=attempts.is_exhausted, reraise=True
        ):
            with attempt:
                if failed:
                    error, failed = failed, None
                    raise error
                return await self._attempt(request, key, affinity, attempts)
        raise AssertionError("an attempt either returns or raises")

    async def _attempt(self, request: ChatRequest, key: str, affinity: str, attempts: Attempts) -> Reply:
        while True:
            backend = choose_backend(self.backends, affinity, failed=attempts.backend)
            async with backend.slot() as admitted:
                if admitted:
                    return await self._attempt_at(backend, request, key, attempts)

    async def _attempt_at(
        self, backend: Backend, request: ChatRequest, key: str, attempts: Attempts
    ) -> Reply:
        """Retries at once where a refusal revealed an unsupported feature."""
        while True:
            outcome = await self._send_once(backend, request, key, attempts)
            if isinstance(outcome, Reply):
                return outcome
            error: RequestError | None = outcome
            if attempts.needs_diagnosis(outcome):
                refusal = Refusal(backend, request, attempts, outcome)
                error = await explain_refusal(refusal, self._probe, self._log_unsupported)
            attempts.record_failure(error or RequestError("unsupported", outcome.detail))
            if error:
                self._update_backend(backend, error, attempts.sent_at)
                raise error  # raised here it does not chain the client's exception, which holds the key

    async def _send_once(
        self, backend: Backend, request: ChatRequest, key: str, attempts: Attempts
    ) -> Reply | RequestError:
        if _DRAINING.is_set():
            await asyncio.Event().wait()
        attempts.start(backend)
        if missing := backend.capabilities.missing(request, self._purpose):
            names, refusal = ", ".join(sorted(missing)), backend.capabilities.last_refusal
            return RequestError("unsupported", f"it does not support {names} ({refusal})")
        try:
            model = backend.model or await self._verified_model(backend)
            task = asyncio.create_task(self._send(backend, model, request, key, attempts))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
            task.add_done_callback(_retrieve_exception)
            return await _shielded(task)
        except Exception as error:
            return as_request_error(error, self._key)

    async def _verified_model(self, backend: Backend) -> str:
        """The name under which the backend serves our model. One check serves all waiting requests, also if it fails:
        one by one they would wait for as many timeouts."""
        if backend.model_check is None:
            backend.model_check = asyncio.create_task(self._verify_model(backend))
            backend.model_check.add_done_callback(_retrieve_exception)
        return await asyncio.shield(backend.model_check)

    async def _verify_model(self, backend: Backend) -> str:
        try:
            backend.model = await asyncio.to_thread(self._verify, backend.base_url)
            return backend.model
        finally:
            backend.model_check = None

    async def _send(
        self, backend: Backend, model: str, request: ChatRequest, key: str, attempts: Attempts
    ) -> Reply:
        attempts.sent_at = time.monotonic()
        body = request.without(backend.capabilities.unsupported)
        answer = await self._post(backend, model, body, request)
        if backend.failing:
            self._log(f"{backend.base_url} answers again")
        backend.succeeded()
        backend.capabilities.record_answer(features(body), characters_of(request), answer.prompt_tokens)
        await self._keep(key, answer, attempts)
        return answer.reply

    async def _keep(self, key: str, answer: Answer, attempts: Attempts) -> None:
        call = self._call(attempts, answer)
        if self._call_log.blocking:  # goes on in its thread even if this task is cancelled
            await asyncio.to_thread(self._call_log.keep, key, answer.reply, call)
        else:
            self._call_log.keep(key, answer.reply, call)

    async def _post(
        self, backend: Backend, model: str, body: Mapping[str, Any], request: ChatRequest | None = None
    ) -> Answer:
        """Send a body and read the answer; `request` says how to read it."""
        async with asyncio.timeout(self._config.timeout_seconds):  # the client's own timeout is per read
            # chat.completions.create would spend a quarter of the client's time on converting the messages
            response = await self._client(backend).post(
                "/chat/completions", cast_to=httpx2.Response, content=_json({"model": model, **body})
            )
        opened, lead = (request.opened, request.lead) if request else ("", "")
        return read_answer(response.content, model, self._purpose == "policy", self._key, opened, lead)

    async def _probe(self, backend: Backend, body: dict[str, Any]) -> RequestError | None:
        """Send a body only to see whether the server accepts it; logged, as it may cost money."""
        if _DRAINING.is_set():
            await asyncio.Event().wait()
        attempts = Attempts(self._config.patience_seconds)
        attempts.start(backend)
        try:
            answer = await self._post(backend, backend.model or self._model, body)
        except Exception as error:
            return as_request_error(error, self._key)
        await self._keep(self._key_of(body), answer, attempts)
        return None

    def _client(self, backend: Backend) -> openai.AsyncOpenAI:
        if backend.base_url not in self._clients:
            self._clients[backend.base_url] = openai.AsyncOpenAI(
                base_url=backend.base_url,
                api_key=self._key or "none",  # the client requires one
                timeout=self._config.timeout_seconds,
                max_retries=0,
                http_client=http_client(backend.base_url),
            )
        return self._clients[backend.base_url]

    # Log lines and records

    def _log_unsupported(self, backend: Backend, feature: str) -> None:
        if (
            self._purpose != "policy" or feature in LIMIT_NAMES
        ):  # otherwise the request fails, with this in its error
            self._log(f"{backend.base_url} does not support {feature}: {fallback_for(feature)} from now on")

    def _update_backend(self, backend: Backend, error: RequestError, sent_at: float) -> None:
        if error.is_transient and not backend.failing:
            backend.failing = True
            self._log(f"{backend.base_url} fails, requests to it are retried: {error}")
        if (
            error.kind == "timeout" and backend.limit == 1
        ):  # even a single request times out: the server hangs
            backend.unreachable(self._config.timeout_seconds)
        elif error.kind in OVERLOAD:
            backend.overloaded(sent_at, error.retry_after or 0.0)
        elif error.kind == "connection":
            backend.unreachable(1.0)
        elif error.kind == "stale":
            backend.model = None

    def _log_refused_sample(self, error: RequestError, attempts: Attempts) -> None:
        """Only for a server's first one: each is stored anyway."""
        if error.kind == "refused_sample" and attempts.backend and not attempts.backend.refused_sample_logged:
            attempts.backend.refused_sample_logged = True
            self._log(
                f"{attempts.backend.base_url} refuses a request and answers others; such requests are stored as "
                f"refused: {error.detail}"
            )

    def _call(self, attempts: Attempts, answer: Answer | None) -> Call:
        now = time.monotonic()
        return Call(
            purpose=self._purpose,
            model=self._model,
            served_model=answer.model if answer else "",
            server=urlsplit(attempts.backend.base_url).netloc if attempts.backend else "",
            started_at=attempts.started_at,
            latency=now - attempts.sent_at,
            waited=now - attempts.began,
            retries=len(attempts.faults) - (answer is None),
            faults=tuple(attempts.faults),
            prompt_tokens=answer.prompt_tokens if answer else 0,
            cached_tokens=answer.cached_tokens if answer else 0,
            completion_tokens=answer.reply.tokens if answer else 0,
            finish=answer.reply.finish if answer else "",
            ok=answer is not None,
        )

    def _fault(self, error: RequestError, attempts: Attempts) -> EndpointFault:
        where = attempts.backend.base_url if attempts.backend else "no server"
        tried = f" after {len(attempts.faults)} attempts" if len(attempts.faults) > 1 else ""
        return EndpointFault(
            f"{where} did not answer for {self._model}{tried}: {error.detail}; {remedy(error, self._config)}",
            error.kind,
            error.detail,
        )


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, RequestError) and error.is_transient


def _retrieve_exception(task: asyncio.Task[Any]) -> None:
    """If nobody awaits the task, asyncio would log its error, with everything that the server sent."""
    if not task.cancelled():
        task.exception()


async def _shielded(task: asyncio.Task[Reply]) -> Reply:
    """The task's result. If the caller is cancelled the task continues, and the caller keeps its slot until it ends."""
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def _pause(state: RetryCallState) -> float:
    return requested_pause(state) or BACKOFF(state)  # 0 from an overloaded server is ignored
