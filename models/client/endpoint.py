"""Chat completions from one or more servers that speak the OpenAI API, with many requests on their way at once.

What passes (rate limits, overload, time-outs, dropped connections, unreadable answers) is tried again after a growing
pause, or the one that the server asks for, until it has gone on for `patience_seconds`; meanwhile fewer requests go
out. What does not pass is raised at once. A refusal is looked into (`models/client/diagnosis.py`): a field that the
server does not know is left out from then on, or goes by its other name. Every answer is handed to the `Book`
when it comes, and what the book knows is not asked again: nothing is paid for twice, whatever happens to the process.
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
from models.client.attempts import Tries, asked_pause
from models.client.calls import Book, Call, Purpose, Reply
from models.client.capabilities import characters_of
from models.client.chat_request import SIBLING, ChatRequest, features
from models.client.errors import ROOM, Trouble, understood
from models.client.load_balancing import Lane, choose
from models.client.refusals import left_out, look_into
from models.served.verification import on_this_machine

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
"""From a server's base URL to the name that it serves the wanted model under. Raises Trouble, or EndpointFault where
it serves another one. May take its time."""


class Endpoint:
    """One model behind one or more servers. For the event loop in which it is first used."""

    def __init__(
        self,
        config: EndpointConfig,
        key: str | None,
        purpose: Purpose,
        model: str,
        book: Book,
        verify: Verify,
        says: Callable[[str], None] = lambda line: None,
    ) -> None:
        """`model` is what the book files replies under: a checkpoint's digest, or a provider's name for a model. `says`
        hears when a server is in trouble, when it answers again, and what it does not take."""
        self._config, self._key, self._purpose, self._model = config, key, purpose, model
        self._book, self._verify, self._says = book, verify, says
        self.lanes = [Lane(url, config.in_flight) for url in config.base_urls]
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
        """The reply that the book has; earlier versions filed one in plain text under what was sent for it."""
        known = self._book.find(self.key(request))
        if known is None and request.plain is not None:
            known = self._book.find(self.key(replace(request, messages=request.plain, extra={})))
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
        call = Tries(self._config.patience_seconds)
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception(_passes), wait=_pause, stop=call.is_enough, reraise=True
            ):
                with attempt:
                    return await self._try(request, key, affinity, call)
        except Trouble as trouble:
            self._book.failed(key, self._call(call, None))
            self._tell_of_refused(trouble, call)
            raise self._fault(trouble, call) from trouble
        raise AssertionError("a try either returns or raises")

    async def _try(self, request: ChatRequest, key: str, affinity: str, call: Tries) -> Reply:
        while True:
            lane = choose(self.lanes, affinity, failed=call.lane)
            async with lane.turn() as admitted:
                if admitted:
                    return await self._try_there(lane, request, key, call)

    async def _try_there(self, lane: Lane, request: ChatRequest, key: str, call: Tries) -> Reply:
        """Again at once where something was learned from a refusal."""
        while True:
            trouble = await self._sent(lane, request, key, call)
            if isinstance(trouble, Reply):
                return trouble
            found: Trouble | None = trouble
            if call.doubts(trouble):
                found = await look_into(lane, request, call, trouble, self._ask, self._learned)
            call.met(found or Trouble("unsupported", trouble.detail))
            if found:
                self._tell(lane, found, call.sent_at)
                raise found  # out here it does not carry the client's exception along, which holds the key

    async def _sent(self, lane: Lane, request: ChatRequest, key: str, call: Tries) -> Reply | Trouble:
        if _LEAVING.is_set():
            await asyncio.Event().wait()
        call.begins(lane)
        if lacking := lane.shown.lacks(request, self._purpose):
            return Trouble(
                "unsupported", f"it does not take {', '.join(sorted(lacking))} ({lane.shown.words})"
            )
        try:
            model = lane.model or await self._checked(lane)
            task = asyncio.create_task(self._send(lane, model, request, key, call))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
            task.add_done_callback(_heard)
            return await _shielded(task)
        except Exception as error:
            return understood(error, self._key)

    async def _checked(self, lane: Lane) -> str:
        """What the lane's server serves our model under, asked once for all requests that wait, also where that fails:
        one after the other they would wait for as many time-outs."""
        if lane.checking is None:
            lane.checking = asyncio.create_task(self._check(lane))
            lane.checking.add_done_callback(_heard)
        return await asyncio.shield(lane.checking)

    async def _check(self, lane: Lane) -> str:
        try:
            lane.model = await asyncio.to_thread(self._verify, lane.base_url)
            return lane.model
        finally:
            lane.checking = None

    async def _send(self, lane: Lane, model: str, request: ChatRequest, key: str, call: Tries) -> Reply:
        call.sent_at = time.monotonic()
        body = request.without(lane.shown.refused)
        answer = await self._post(lane, model, body, request)
        if lane.troubled:
            self._says(f"{lane.base_url} answers again")
        lane.succeeded()
        lane.shown.answered(features(body), characters_of(request), answer.prompt_tokens)
        self._book.keep(key, answer.reply, self._call(call, answer))
        return answer.reply

    async def _post(
        self, lane: Lane, model: str, body: Mapping[str, Any], request: ChatRequest | None = None
    ) -> Answer:
        """The answer to a body; `request` says how it is read."""
        async with asyncio.timeout(self._config.timeout_seconds):  # the client's own is for each read
            # chat.completions.create spends a quarter of the client's time on turning the messages into themselves
            data = await self._client(lane).post(
                "/chat/completions", cast_to=object, body={"model": model, **body}
            )
        opened, lead = (request.opened, request.lead) if request else ("", "")
        return read(data, model, self._purpose == "policy", self._key, opened, lead)

    async def _ask(self, lane: Lane, body: dict[str, Any]) -> Trouble | None:
        """Send a question whose answer only shows what the server takes; it is on record, as it may cost money."""
        if _LEAVING.is_set():
            await asyncio.Event().wait()
        call = Tries(self._config.patience_seconds)
        call.begins(lane)
        try:
            answer = await self._post(lane, lane.model or self._model, body)
        except Exception as error:
            return understood(error, self._key)
        self._book.keep(self._address(body), answer.reply, self._call(call, answer))
        return None

    def _client(self, lane: Lane) -> openai.AsyncOpenAI:
        if lane.base_url not in self._clients:
            self._clients[lane.base_url] = openai.AsyncOpenAI(
                base_url=lane.base_url,
                api_key=self._key or "none",  # the client insists on one
                timeout=self._config.timeout_seconds,
                max_retries=0,
                http_client=_transport(lane.base_url),
            )
        return self._clients[lane.base_url]

    # What is said and written down about it

    def _learned(self, lane: Lane, refused: str) -> None:
        if self._purpose == "reflection" or refused in SIBLING:  # else it is a fault, which says it
            self._says(f"{lane.base_url} does not take {refused}: {left_out(refused)} from now on")

    def _tell(self, lane: Lane, trouble: Trouble, sent_at: float) -> None:
        if trouble.passes and not lane.troubled:
            lane.troubled = True
            self._says(f"{lane.base_url} is in trouble, requests to it are tried again: {trouble}")
        if trouble.kind == "timeout" and lane.limit == 1:  # not even one at a time: it hangs
            lane.unreachable(self._config.timeout_seconds)
        elif trouble.kind in ROOM:
            lane.overloaded(sent_at, trouble.retry_after or 0.0)
        elif trouble.kind == "connection":
            lane.unreachable(1.0)
        elif trouble.kind == "stale":
            lane.model = None

    def _tell_of_refused(self, trouble: Trouble, tries: Tries) -> None:
        """Of the first one only: each is stored as what it is."""
        if trouble.kind == "refused_sample" and tries.lane and not tries.lane.refused_one:
            tries.lane.refused_one = True
            self._says(
                f"{tries.lane.base_url} refuses a request and answers others; such ones are stored as refused: "
                f"{trouble.detail}"
            )

    def _call(self, tries: Tries, answer: Answer | None) -> Call:
        now = time.monotonic()
        return Call(
            purpose=self._purpose,
            model=self._model,
            served_model=answer.model if answer else "",
            server=urlsplit(tries.lane.base_url).netloc if tries.lane else "",
            started_at=tries.started_at,
            latency=now - tries.sent_at,
            waited=now - tries.began,
            retries=len(tries.faults) - (answer is None),
            faults=tuple(tries.faults),
            prompt_tokens=answer.prompt_tokens if answer else 0,
            cached_tokens=answer.cached_tokens if answer else 0,
            completion_tokens=answer.reply.tokens if answer else 0,
            finish=answer.reply.finish if answer else "",
            ok=answer is not None,
        )

    def _fault(self, trouble: Trouble, tries: Tries) -> EndpointFault:
        where = tries.lane.base_url if tries.lane else "no server"
        tried = f" after {len(tries.faults)} tries" if len(tries.faults) > 1 else ""
        return EndpointFault(
            f"{where} did not answer for {self._model}{tried}: {trouble.detail}; {advice(trouble, self._config)}",
            trouble.kind,
            trouble.detail,
        )


def _transport(base_url: str) -> Any:
    """The client's HTTP. Raises Trouble where the environment names a proxy that it cannot use."""
    try:  # no proxy leads to this machine, whatever the environment says
        return openai.DefaultAsyncHttpxClient(trust_env=not on_this_machine(base_url))
    except (ImportError, ValueError) as error:
        problem = type(error).__name__  # its text may hold the proxy's password
    raise Trouble(
        "refused", f"the proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names cannot be used ({problem})"
    )


def _passes(error: BaseException) -> bool:
    return isinstance(error, Trouble) and error.passes


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
