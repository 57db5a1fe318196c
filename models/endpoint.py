"""Chat completions from one or more servers that speak the OpenAI API, with many requests on their way at once.

What passes (rate limits, overload, time-outs, dropped connections, unreadable answers) is tried again after a growing
pause, or the one that the server asks for, until it has gone on for `patience_seconds`; meanwhile fewer requests go
out. What does not pass is raised at once. Every answer is handed to the `Book` in the moment it comes, and what the
book knows is not asked again: nothing is paid for twice, whatever happens to the process.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlsplit
from weakref import WeakSet, WeakValueDictionary

import openai
from openai.types.chat import ChatCompletion
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from configs.serving import EndpointConfig
from models.calls import Book, Call, Purpose, Reply
from models.lanes import Lane, choose
from models.policy import Message
from models.serving import on_this_machine
from models.thinking import parted
from models.trouble import ROOM, Trouble, understood

PAUSES = wait_random_exponential(multiplier=0.5, max=30)
"""Between two tries: random up to 0.5, 1, 2, ... 30 seconds."""
MALFORMED = 4
"""Tries after which a server that answers nonsense, or as another model, is given up: each may cost money."""


_OPEN: WeakSet[Endpoint] = WeakSet()
_LEAVING = threading.Event()


def finish(seconds: float) -> None:
    """The process is about to end: send nothing more, and wait for what is on its way, as it is paid for."""
    _LEAVING.set()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(endpoint.on_their_way for endpoint in list(_OPEN)):
        time.sleep(0.02)


class EndpointFault(Exception):
    """A request that cannot be answered. The message names server and model, and says what to do."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One completion to ask for. `limit` is the field that says max_tokens; `extra` goes into the body as it is (a
    server's own fields, response_format). `opened` and `lead` say how the reply is read (models.thinking.parted)."""

    messages: Sequence[Message]
    max_tokens: int
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    opened: str = ""
    lead: str = ""

    def fields(self) -> dict[str, Any]:
        """The request's body, without the model."""
        optional = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
            "stop": list(self.stop) or None,
        }
        given = {name: value for name, value in optional.items() if value is not None}
        return {"messages": list(self.messages), self.limit: self.max_tokens, **given, **self.extra}


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
        hears when a server is in trouble, and when it answers again."""
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
            known = self._book.find(key)
            return known if known is not None else await self._answered(request, key, affinity)

    async def _answered(self, request: ChatRequest, key: str, affinity: str) -> Reply:
        call = _Tries(self._config.patience_seconds)
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception(_passes), wait=_pause, stop=call.is_enough, reraise=True
            ):
                with attempt:
                    return await self._try(request, key, affinity, call)
        except Trouble as trouble:
            self._book.failed(key, self._call(call, ok=False))
            raise self._fault(trouble, call) from trouble
        raise AssertionError("a try either returns or raises")

    def key(self, request: ChatRequest) -> str:
        """Content address of a request to this model."""
        text = json.dumps([self._model, request.fields()], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    async def settle(self) -> None:
        """Wait for what is on its way: it will be paid for, so it is kept, although nobody waits for it any more."""
        await asyncio.sleep(0)  # what has just got its place is sent
        while self._sending:
            await asyncio.wait(self._sending)

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()

    async def _try(self, request: ChatRequest, key: str, affinity: str, call: _Tries) -> Reply:
        while True:
            lane = choose(self.lanes, affinity, failed=call.lane)
            async with lane.turn() as admitted:
                if admitted:
                    return await self._try_there(lane, request, key, call)

    async def _try_there(self, lane: Lane, request: ChatRequest, key: str, call: _Tries) -> Reply:
        if _LEAVING.is_set():
            await asyncio.Event().wait()
        call.begins(lane)
        try:
            model = lane.model or await self._checked(lane)
            task = asyncio.create_task(self._send(lane, model, request, key, call))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
            task.add_done_callback(_heard)
            return await _shielded(task)
        except Exception as error:
            trouble = understood(error, self._key)
        call.met(trouble)
        self._tell(lane, trouble, call.sent_at)
        raise trouble  # out here it does not carry the client's exception along, which holds the key

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

    async def _send(self, lane: Lane, model: str, request: ChatRequest, key: str, call: _Tries) -> Reply:
        call.sent_at = time.monotonic()
        async with asyncio.timeout(self._config.timeout_seconds):  # the client's own is for each read
            # chat.completions.create spends a quarter of the client's time on turning the messages into themselves
            completion = await self._client(lane).post(
                "/chat/completions", cast_to=ChatCompletion, body={"model": model, **request.fields()}
            )
        reply = _read(completion, model, request, strict=self._purpose == "policy")
        if lane.troubled:
            self._says(f"{lane.base_url} answers again")
        lane.succeeded()
        self._book.keep(key, reply, self._call(call, True, completion, reply))
        return reply

    def _client(self, lane: Lane) -> openai.AsyncOpenAI:
        if lane.base_url not in self._clients:
            # no proxy leads there, whatever the environment says
            here = on_this_machine(lane.base_url)
            self._clients[lane.base_url] = openai.AsyncOpenAI(
                base_url=lane.base_url,
                api_key=self._key or "none",  # the client insists on one
                timeout=self._config.timeout_seconds,
                max_retries=0,
                http_client=openai.DefaultAsyncHttpxClient(trust_env=not here),
            )
        return self._clients[lane.base_url]

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

    def _call(
        self,
        tries: _Tries,
        ok: bool,
        completion: ChatCompletion | None = None,
        reply: Reply | None = None,
    ) -> Call:
        usage = completion.usage if completion else None
        now = time.monotonic()
        return Call(
            purpose=self._purpose,
            model=self._model,
            served_model=str(completion.model or "") if completion else "",
            server=urlsplit(tries.lane.base_url).netloc if tries.lane else "",
            started_at=tries.started_at,
            latency=now - tries.sent_at,
            waited=now - tries.began,
            retries=len(tries.faults) - (not ok),
            faults=tuple(tries.faults),
            prompt_tokens=_count(usage, "prompt_tokens"),
            cached_tokens=_count(getattr(usage, "prompt_tokens_details", None), "cached_tokens"),
            completion_tokens=_count(usage, "completion_tokens"),
            finish=reply.finish if reply else "",
            ok=ok,
        )

    def _fault(self, trouble: Trouble, tries: _Tries) -> EndpointFault:
        where = tries.lane.base_url if tries.lane else "no server"
        tried = f" after {len(tries.faults)} tries" if len(tries.faults) > 1 else ""
        return EndpointFault(
            f"{where} did not answer for {self._model}{tried}: {trouble.detail}; {_advice(trouble, self._config)}",
            trouble.kind,
        )


class _Tries:
    """The tries of one request so far."""

    def __init__(self, patience: float) -> None:
        self.began = self.sent_at = time.monotonic()
        self.started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.faults: list[str] = []
        self.lane: Lane | None = None
        self._patience, self._failing_since = patience, 0.0

    def begins(self, lane: Lane) -> None:
        self.lane, self.sent_at = lane, time.monotonic()

    def met(self, trouble: Trouble) -> None:
        if not self.faults:
            self._failing_since = time.monotonic()
        self.faults.append(trouble.kind)

    def is_enough(self, state: RetryCallState) -> bool:
        """Whether it has failed for too long, would have to wait for too long, or has failed too often in a way that
        costs."""
        if sum(kind in ("malformed", "stale") for kind in self.faults) >= MALFORMED:
            return True
        return time.monotonic() - self._failing_since + (_asked(state) or 0.0) >= self._patience


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


def _asked(state: RetryCallState) -> float | None:
    """The pause that the server asks for."""
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after if isinstance(error, Trouble) else None


def _pause(state: RetryCallState) -> float:
    return _asked(state) or PAUSES(state)  # a server that is too busy does not mean it when it says 0


def _read(completion: ChatCompletion, model: str, request: ChatRequest, strict: bool) -> Reply:
    """The reply in a completion; text that is missing is empty text. `strict`: the named model must have answered.
    Raises Trouble."""
    try:
        choice = completion.choices[0]
        text, finish = choice.message.content, choice.finish_reason
    except (AttributeError, IndexError, TypeError) as error:
        raise Trouble("malformed", "the answer holds no choice") from error
    if not isinstance(text, str | None):
        raise Trouble("malformed", "the answer holds no text")
    if strict and completion.model != model:
        raise Trouble("stale", f"{completion.model} answered instead of {model}")
    tokens = _count(completion.usage, "completion_tokens")
    thinking, answer = _parts(choice.message, text or "", request)
    return Reply(answer, tokens, "length" if finish == "length" else "stop", thinking)


def _parts(message: object, text: str, request: ChatRequest) -> tuple[str, str]:
    """(thinking, answer): by the server's own field where it has one, else read off the text."""
    for name in ("reasoning", "reasoning_content"):
        if isinstance(thinking := getattr(message, name, None), str) and thinking.strip():
            return thinking.strip(), text
    return parted(text, request.opened, request.lead) or ("", text)


def _count(usage: object, name: str) -> int:
    """A number in a server's count of tokens; 0 where it does not count, or not in numbers."""
    value = getattr(usage, name, None)
    return value if isinstance(value, int) else 0


def _advice(trouble: Trouble, config: EndpointConfig) -> str:
    if trouble.kind == "key":
        named = " or ".join(
            part
            for part in (
                f"the variable {config.key_env}" if config.key_env else "",
                f"the Prefect secret {config.key_secret}" if config.key_secret else "",
            )
            if part
        )
        return f"check {named}" if named else "name the variable that holds the key in key_env"
    if trouble.kind == "model":
        return "check base_urls (most end in /v1) and the model's name"
    if trouble.kind == "quota":
        return "the account has no credit left: what was answered is kept, the same run goes on from there"
    if trouble.kind == "connection":
        return "check base_urls and that the server runs; what was answered is kept, the same run goes on from there"
    if trouble.retry_after and trouble.retry_after > config.patience_seconds:
        return f"it asks to wait {trouble.retry_after:.0f} s: run again then; what was answered is kept"
    if trouble.passes:
        return "what was answered is kept, the same run goes on from there"
    return "mend the request or the server's settings; what was answered is kept"
