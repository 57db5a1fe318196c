"""Chat completions from one or more servers that speak the OpenAI API, with many requests on their way at once.

What passes (rate limits, overload, time-outs, dropped connections, unreadable answers) is tried again after a growing
pause, or the one that the server asks for, until it has gone on for `patience_seconds`; meanwhile fewer requests go
out. What does not pass is raised at once. A refusal is looked into (`models/client/diagnosis.py`): a field that the
server does not know is left out from then on, or goes by its other name. Every answer is handed to the `CallLog`
when it comes, and what the call log knows is not asked again: nothing is paid for twice, whatever happens to the
process.
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

import openai
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from configs.servers import EndpointConfig
from models.client.advice import advice
from models.client.answers import Answer, read
from models.client.attempts import Attempts, asked_pause
from models.client.calls import Call, CallLog, Reply
from models.client.capabilities import characters_of
from models.client.chat_request import SIBLING, ChatRequest, features
from models.client.errors import ROOM, RequestError, understood
from models.client.load_balancing import Backend, choose_backend
from models.client.refusals import left_out, look_into
from models.served.verification import on_this_machine
from steca.vocabulary import CallPurpose

PAUSES = wait_random_exponential(multiplier=0.5, max=30)
"""Between two tries: random up to 0.5, 1, 2, ... 30 seconds."""

_OPEN: WeakSet[Endpoint] = WeakSet()
_LEAVING = threading.Event()


def finish(seconds: float) -> None:
    """The process is about to end: send nothing more, and wait for what is on its way, as it is paid for."""
    _LEAVING.set()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(endpoint.on_their_way for endpoint in list(_OPEN)):
        time.sleep(0.02)


class EndpointFault(Exception):
    """A request that cannot be answered. The message names server and model, and says what to do; `reason` is what the
    server said."""

    def __init__(self, message: str, kind: str, reason: str = "") -> None:
        super().__init__(message)
        self.kind, self.reason = kind, reason or message


Verify = Callable[[str], str]
"""From a server's base URL to the name that it serves the wanted model under. Raises RequestError, or EndpointFault
where it serves another one. May take its time."""


class Endpoint:
    """One model behind one or more servers. For the event loop in which it is first used."""

    def __init__(
        self,
        config: EndpointConfig,
        key: str | None,
        purpose: CallPurpose,
        model: str,
        call_log: CallLog,
        verify: Verify,
        says: Callable[[str], None] = lambda line: None,
    ) -> None:
        """`model` is what the call log files replies under: a checkpoint's digest, or a provider's name for a model.
        `says` hears when a server is in trouble, when it answers again, and what it does not take."""
        self._config, self._key, self._purpose, self._model = config, key, purpose, model
        self._call_log, self._verify, self._says = call_log, verify, says
        self.backends = [Backend(url, config.in_flight) for url in config.base_urls]
        self._clients: dict[str, openai.AsyncOpenAI] = {}
        self._sending: set[asyncio.Task[Reply]] = set()
        self._asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        _OPEN.add(self)

    @property
    def on_their_way(self) -> int:
        """Requests that were sent and not answered yet."""
        return len(self._sending)

    async def chat(self, request: ChatRequest, affinity: str = "") -> Reply:
        """One reply; requests with the same `affinity` prefer the same server. Raises EndpointFault."""
        key = self.key(request)
        async with self._asking.setdefault(
            key, asyncio.Lock()
        ):  # an equal request waits for this one's answer
            known = self.known(request)
            return known if known is not None else await self._answered(request, key, affinity)

    def known(self, request: ChatRequest) -> Reply | None:
        """The reply that the call log has; earlier versions filed one in plain text under what was sent for it."""
        known = self._call_log.find(self.key(request))
        if known is None and request.plain is not None:
            known = self._call_log.find(self.key(replace(request, messages=request.plain, extra={})))
        return known

    def key(self, request: ChatRequest) -> str:
        """Content address of a request to this model, as it is wanted: whatever servers take of it."""
        return self._address(request.fields())

    def _address(self, body: Mapping[str, Any]) -> str:
        text = json.dumps([self._model, body], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    async def settle(self) -> None:
        """Wait for what is on its way: it will be paid for, so it is kept, although nobody waits for it any more."""
        await asyncio.sleep(0)  # what has just got its place is sent
        while self._sending:
            await asyncio.wait(self._sending)

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()

    # One request

    async def _answered(self, request: ChatRequest, key: str, affinity: str) -> Reply:
        call = Attempts(self._config.patience_seconds)
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception(_passes), wait=_pause, stop=call.is_enough, reraise=True
            ):
                with attempt:
                    return await self._try(request, key, affinity, call)
        except RequestError as error:
            self._call_log.failed(key, self._call(call, None))
            self._tell_of_refused(error, call)
            raise self._fault(error, call) from error
        raise AssertionError("a try either returns or raises")

    async def _try(self, request: ChatRequest, key: str, affinity: str, call: Attempts) -> Reply:
        while True:
            backend = choose_backend(self.backends, affinity, failed=call.backend)
            async with backend.turn() as admitted:
                if admitted:
                    return await self._try_there(backend, request, key, call)

    async def _try_there(self, backend: Backend, request: ChatRequest, key: str, call: Attempts) -> Reply:
        """Again at once where something was learned from a refusal."""
        while True:
            error = await self._sent(backend, request, key, call)
            if isinstance(error, Reply):
                return error
            found: RequestError | None = error
            if call.doubts(error):
                found = await look_into(backend, request, call, error, self._ask, self._learned)
            call.met(found or RequestError("unsupported", error.detail))
            if found:
                self._tell(backend, found, call.sent_at)
                raise found  # out here it does not carry the client's exception along, which holds the key

    async def _sent(
        self, backend: Backend, request: ChatRequest, key: str, call: Attempts
    ) -> Reply | RequestError:
        if _LEAVING.is_set():
            await asyncio.Event().wait()
        call.begins(backend)
        if lacking := backend.shown.lacks(request, self._purpose):
            return RequestError(
                "unsupported", f"it does not take {', '.join(sorted(lacking))} ({backend.shown.words})"
            )
        try:
            model = backend.model or await self._checked(backend)
            task = asyncio.create_task(self._send(backend, model, request, key, call))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
            task.add_done_callback(_heard)
            return await _shielded(task)
        except Exception as error:
            return understood(error, self._key)

    async def _checked(self, backend: Backend) -> str:
        """What the backend's server serves our model under, asked once for all requests that wait, also where that
        fails: one after the other they would wait for as many time-outs."""
        if backend.checking is None:
            backend.checking = asyncio.create_task(self._check(backend))
            backend.checking.add_done_callback(_heard)
        return await asyncio.shield(backend.checking)

    async def _check(self, backend: Backend) -> str:
        try:
            backend.model = await asyncio.to_thread(self._verify, backend.base_url)
            return backend.model
        finally:
            backend.checking = None

    async def _send(
        self, backend: Backend, model: str, request: ChatRequest, key: str, call: Attempts
    ) -> Reply:
        call.sent_at = time.monotonic()
        body = request.without(backend.shown.refused)
        answer = await self._post(backend, model, body, request)
        if backend.troubled:
            self._says(f"{backend.base_url} answers again")
        backend.succeeded()
        backend.shown.answered(features(body), characters_of(request), answer.prompt_tokens)
        self._call_log.keep(key, answer.reply, self._call(call, answer))
        return answer.reply

    async def _post(
        self, backend: Backend, model: str, body: Mapping[str, Any], request: ChatRequest | None = None
    ) -> Answer:
        """The answer to a body; `request` says how it is read."""
        async with asyncio.timeout(self._config.timeout_seconds):  # the client's own is for each read
            # chat.completions.create spends a quarter of the client's time on turning the messages into themselves
            data = await self._client(backend).post(
                "/chat/completions", cast_to=object, body={"model": model, **body}
            )
        opened, lead = (request.opened, request.lead) if request else ("", "")
        return read(data, model, self._purpose == "policy", self._key, opened, lead)

    async def _ask(self, backend: Backend, body: dict[str, Any]) -> RequestError | None:
        """Send a question whose answer only shows what the server takes; it is on record, as it may cost money."""
        if _LEAVING.is_set():
            await asyncio.Event().wait()
        call = Attempts(self._config.patience_seconds)
        call.begins(backend)
        try:
            answer = await self._post(backend, backend.model or self._model, body)
        except Exception as error:
            return understood(error, self._key)
        self._call_log.keep(self._address(body), answer.reply, self._call(call, answer))
        return None

    def _client(self, backend: Backend) -> openai.AsyncOpenAI:
        if backend.base_url not in self._clients:
            self._clients[backend.base_url] = openai.AsyncOpenAI(
                base_url=backend.base_url,
                api_key=self._key or "none",  # the client insists on one
                timeout=self._config.timeout_seconds,
                max_retries=0,
                http_client=_transport(backend.base_url),
            )
        return self._clients[backend.base_url]

    # What is said and written down about it

    def _learned(self, backend: Backend, refused: str) -> None:
        if self._purpose == "reflection" or refused in SIBLING:  # else it is a fault, which says it
            self._says(f"{backend.base_url} does not take {refused}: {left_out(refused)} from now on")

    def _tell(self, backend: Backend, error: RequestError, sent_at: float) -> None:
        if error.passes and not backend.troubled:
            backend.troubled = True
            self._says(f"{backend.base_url} is in trouble, requests to it are tried again: {error}")
        if error.kind == "timeout" and backend.limit == 1:  # not even one at a time: it hangs
            backend.unreachable(self._config.timeout_seconds)
        elif error.kind in ROOM:
            backend.overloaded(sent_at, error.retry_after or 0.0)
        elif error.kind == "connection":
            backend.unreachable(1.0)
        elif error.kind == "stale":
            backend.model = None

    def _tell_of_refused(self, error: RequestError, attempts: Attempts) -> None:
        """Of the first one only: each is stored as what it is."""
        if error.kind == "refused_sample" and attempts.backend and not attempts.backend.refused_one:
            attempts.backend.refused_one = True
            self._says(
                f"{attempts.backend.base_url} refuses a request and answers others; such ones are stored as refused: "
                f"{error.detail}"
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
        tried = f" after {len(attempts.faults)} tries" if len(attempts.faults) > 1 else ""
        return EndpointFault(
            f"{where} did not answer for {self._model}{tried}: {error.detail}; {advice(error, self._config)}",
            error.kind,
            error.detail,
        )


def _transport(base_url: str) -> Any:
    """The client's HTTP. Raises RequestError where the environment names a proxy that it cannot use."""
    try:  # no proxy leads to this machine, whatever the environment says
        return openai.DefaultAsyncHttpxClient(trust_env=not on_this_machine(base_url))
    except (ImportError, ValueError) as error:
        problem = type(error).__name__  # its text may hold the proxy's password
    raise RequestError(
        "refused", f"the proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names cannot be used ({problem})"
    )


def _passes(error: BaseException) -> bool:
    return isinstance(error, RequestError) and error.passes


def _heard(task: asyncio.Task[Any]) -> None:
    """Nobody may wait for it any more: asyncio would log its error, with all that the server said."""
    if not task.cancelled():
        task.exception()


async def _shielded(task: asyncio.Task[Reply]) -> Reply:
    """Its outcome. Where the caller is cancelled it goes on, and the caller's place among the requests on their way is
    not free before it has ended."""
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def _pause(state: RetryCallState) -> float:
    return asked_pause(state) or PAUSES(state)  # a server that is too busy does not mean it when it says 0
