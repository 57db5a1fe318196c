"""The faults that can be injected between a client and an OpenAI-compatible server, and the plan that says when."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Any, Literal

from tests.support.fake_openai.replies import Request, error_reply, json_reply
from tests.support.fake_openai.wire import Reply

Edit = Callable[[dict[str, Any]], object]


@dataclass(slots=True)
class Record:
    """One chat request and its outcome. `arrived` is time.monotonic(); `concurrency` counts the requests in progress on
    arrival, this one included; `attempt`: how often the same body had arrived before.

    `status` is 0 if no status line was sent. `fault` names the injected fault, `refused` the broken rule. `abandoned`:
    the client disconnected before the answer. `fitting`: the text has the requested structure.
    """

    number: int
    body: Request
    headers: dict[str, str]
    arrived: float
    concurrency: int
    attempt: int
    status: int = 0
    fault: str = ""
    refused: str = ""
    abandoned: bool = False
    fitting: bool = True


@dataclass(frozen=True, slots=True)
class Fault:
    """Turns the honest reply, computed lazily, into what is sent instead."""

    name: str
    act: Callable[[Record, Callable[[], Reply]], Reply]

    @staticmethod
    def rate_limit(
        retry_after: float | None = None, form: Literal["seconds", "date", "milliseconds"] = "seconds"
    ) -> Fault:
        """A transient 429. As a date, Retry-After has whole seconds."""

        def act(_: Record, __: Callable[[], Reply]) -> Reply:
            headers = {} if retry_after is None else _retry_after(retry_after, form)
            return replace(
                _error(429, "Rate limit reached", "tokens", "rate_limit_exceeded"), headers=headers
            )

        return Fault("rate_limit", act)

    @staticmethod
    def quota() -> Fault:
        """A permanent 429: the account has no credit left."""
        text = "You exceeded your current quota, please check your plan and billing details."
        return _always("quota", _error(429, text, "insufficient_quota", "insufficient_quota"))

    @staticmethod
    def server_error(status: int = 500) -> Fault:
        return _always(f"server_error_{status}", _error(status, "The server had an error.", "server_error"))

    @staticmethod
    def html(status: int = 502) -> Fault:
        """A proxy's HTML page instead of the API's answer; also with status 200."""
        page = b"<html><body><h1>Bad Gateway</h1></body></html>"
        return _always(f"html_{status}", Reply(status, page, media="text/html"))

    @staticmethod
    def debug_page() -> Fault:
        """500 whose page shows the request's headers, including the key."""

        def act(record: Record, _: Callable[[], Reply]) -> Reply:
            return _error(
                500, f"Unhandled exception. Request headers: {json.dumps(record.headers)}", "server_error"
            )

        return Fault("debug_page", act)

    @staticmethod
    def unauthorized() -> Fault:
        """401 that shows the whole key."""

        def act(record: Record, _: Callable[[], Reply]) -> Reply:
            return key_error(record.headers.get("authorization", ""), whole=True)

        return Fault("unauthorized", act)

    @staticmethod
    def forbidden() -> Fault:
        return _always(
            "forbidden", _error(403, "Country, region, or territory not supported", code="unsupported")
        )

    @staticmethod
    def unknown_model() -> Fault:
        return _always("unknown_model", _error(404, "The model does not exist.", code="model_not_found"))

    @staticmethod
    def no_response_format() -> Fault:
        """400 of a model without structured outputs."""
        text = "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."
        return _always("no_response_format", _error(400, text, param="response_format"))

    @staticmethod
    def hang() -> Fault:
        """Never answers."""
        return _broken("hang", delay=math.inf)

    @staticmethod
    def slow(seconds: float) -> Fault:
        return _broken("slow", delay=seconds)

    @staticmethod
    def trickle(seconds: float, pieces: int) -> Fault:
        """Sends the body in pieces over this time: no single read is slow, but the whole answer is."""
        return _broken("trickle", pieces=pieces, pause=seconds / pieces)

    @staticmethod
    def drop(*, reset: bool = False) -> Fault:
        """The connection is closed or reset before the first byte."""
        return _broken("drop", sent=-1, reset=reset)

    @staticmethod
    def drop_mid_body(*, reset: bool = False) -> Fault:
        return _broken("drop_mid_body", sent=40, reset=reset)

    @staticmethod
    def short_length() -> Fault:
        """The content-length is too small: the client reads half a JSON, and the rest is left in the connection."""
        return _broken("short_length", length=40)

    @staticmethod
    def truncated_json() -> Fault:
        """Half the JSON, with the correct length."""
        return Fault(
            "truncated_json",
            lambda _, honest: replace(reply := honest(), body=reply.body[: len(reply.body) // 2]),
        )

    @staticmethod
    def malformed(body: bytes = b'{"choices": [oops]}') -> Fault:
        return _always("malformed", Reply(200, body))

    @staticmethod
    def error_as_success(body: object | None = None) -> Fault:
        """Status 200 with an error as the body, as some gateways send; by default an error without a status."""
        plain = replace(_error(500, "Provider returned error"), status=200)
        return _always("error_as_success", plain if body is None else json_reply(200, body))

    @staticmethod
    def refusing(status: int, body: object) -> Fault:
        """Any answer with this status and JSON."""
        return _always(f"refusing_{status}", json_reply(status, body))

    @staticmethod
    def no_choices() -> Fault:
        return _edit("no_choices", lambda data: data.pop("choices"))

    @staticmethod
    def empty_choices() -> Fault:
        return _edit("empty_choices", lambda data: data["choices"].clear())

    @staticmethod
    def no_message() -> Fault:
        return _edit("no_message", lambda data: data["choices"][0].pop("message"))

    @staticmethod
    def null_content() -> Fault:
        return _message("null_content", content=None)

    @staticmethod
    def empty_text() -> Fault:
        return _message("empty_text", content="")

    @staticmethod
    def refusal(text: str = "I'm sorry, I cannot assist with that request.") -> Fault:
        return _message("refusal", content=None, refusal=text)

    @staticmethod
    def content_filter() -> Fault:
        return _edit("content_filter", lambda data: data["choices"][0].update(finish_reason="content_filter"))

    @staticmethod
    def cut_short(characters: int = 10) -> Fault:
        """finish_reason length after this many characters: in the middle of the JSON, if JSON was requested."""

        def edit(data: dict[str, Any]) -> None:
            choice = data["choices"][0]
            choice["finish_reason"] = "length"
            choice["message"]["content"] = choice["message"]["content"][:characters]

        return _edit("cut_short", edit)

    @staticmethod
    def wrong_text(text: str) -> Fault:
        """A text that need not have the requested structure."""
        return _message("wrong_text", content=text)

    @staticmethod
    def reasoning(text: str, field: str = "reasoning_content", content: str | None = "") -> Fault:
        """Thinking in a separate field, beside this content."""
        return _message("reasoning", **{field: text, "content": content})

    @staticmethod
    def parts(*parts: object) -> Fault:
        """A content in typed parts, as Mistral's thinking models send it."""
        return _message("parts", content=list(parts))

    @staticmethod
    def no_usage() -> Fault:
        return _edit("no_usage", lambda data: data.pop("usage"))

    @staticmethod
    def no_cache_details() -> Fault:
        """As a vLLM without --enable-prompt-tokens-details."""
        return _edit("no_cache_details", lambda data: data["usage"].update(prompt_tokens_details=None))

    @staticmethod
    def stale_model(model: str = "yesterday") -> Fault:
        """An answer by another model than the requested one."""
        return _edit("stale_model", lambda data: data.update(model=model))

    @staticmethod
    def crash(down: float = math.inf, model: str | None = None) -> Fault:
        """The server dies: connections break and new ones are refused. It restarts on the same port after `down`
        seconds (inf: when start is called), serving `model` if given."""
        return _always("crash", Reply(0, b"", down=down, revived_model=model))


def key_error(authorization: str, *, whole: bool) -> Reply:
    """401 in OpenAI's words, with the whole key or only its ends."""
    key = authorization.removeprefix("Bearer ")
    shown = key if whole else f"{key[:6]}***{key[-3:]}"
    return _error(401, f"Incorrect API key provided: {shown}.", code="invalid_api_key")


def _retry_after(seconds: float, form: str) -> dict[str, str]:
    if form == "date":
        return {"retry-after": formatdate(time.time() + seconds, usegmt=True)}
    if form == "milliseconds":
        return {"retry-after-ms": str(seconds * 1000)}
    return {"retry-after": f"{seconds:g}"}


def _error(
    status: int, message: str, kind: str = "", code: str | None = None, param: str | None = None
) -> Reply:
    return error_reply("openai", status, message, kind=kind, code=code, param=param)


def _always(name: str, reply: Reply) -> Fault:
    return Fault(name, lambda _, __: reply)


def _broken(name: str, **changes: Any) -> Fault:
    """The honest answer with faulty transport."""
    return Fault(name, lambda _, honest: replace(honest(), **changes))


def _edit(name: str, edit: Edit) -> Fault:
    return Fault(name, lambda _, honest: honest().edited(edit))


def _message(name: str, **changes: object) -> Fault:
    return _edit(name, lambda data: data["choices"][0]["message"].update(changes))


@dataclass(slots=True)
class Plan:
    """Which requests get which fault: by number, the next ones, by a rule, at random; in this order."""

    script: Mapping[int, Fault] = field(default_factory=dict)
    _next: deque[Fault] = field(default_factory=deque)
    _rules: list[tuple[Callable[[Record], bool], Fault]] = field(default_factory=list)
    _chances: list[tuple[float, Fault, int]] = field(default_factory=list)
    _seen: Counter[bytes] = field(default_factory=Counter)

    def fail_next(self, fault: Fault, times: int = 1) -> None:
        self._next.extend([fault] * times)

    def fail_when(self, rule: Callable[[Record], bool], fault: Fault) -> None:
        self._rules.append((rule, fault))

    def fail_randomly(self, fault: Fault, probability: float, seed: int = 0) -> None:
        """Depends on the seed, the body and the attempt only, not on the order of arrival."""
        self._chances.append((probability, fault, seed))

    def heal(self) -> None:
        """Remove all planned faults."""
        self.script = {}
        for planned in (self._next, self._rules, self._chances):
            planned.clear()

    def attempt(self, body: Request) -> int:
        """How often this body arrived before."""
        key = json.dumps(body, sort_keys=True).encode()
        self._seen[key] += 1
        return self._seen[key] - 1

    def choose(self, record: Record) -> Fault | None:
        if record.number in self.script:
            return self.script[record.number]
        if self._next:
            return self._next.popleft()
        for rule, fault in self._rules:
            if rule(record):
                return fault
        for place, (probability, fault, seed) in enumerate(self._chances):
            if _uniform(seed, place, record) < probability:
                return fault
        return None


def _uniform(seed: int, place: int, record: Record) -> float:
    text = json.dumps([seed, place, record.attempt, record.body], sort_keys=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7]) / 2**56
