"""The fake server's answers: errors in the words of OpenAI and vLLM, and honest completions."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jsonschema

from steca.vocabulary import Finish
from tests.support.fake_openai.wire import Reply

Dialect = Literal["openai", "vllm"]
Request = dict[str, Any]
Answer = Callable[[Request, int], str]
"""Maps a request's body and its number on this server to the whole text that the model would write."""


def json_reply(status: int, data: object) -> Reply:
    return Reply(status, json.dumps(data).encode())


def error_reply(
    dialect: Dialect, status: int, message: str, *, kind: str = "", param: str | None = None, code: str | None = None
) -> Reply:  # fmt: skip
    """An error body. vLLM names the type by the status and repeats the status as code; OpenAI has its own codes."""
    if dialect == "vllm":
        kinds = {400: "BadRequestError", 404: "NotFoundError"}
        error = {
            "message": message,
            "type": kinds.get(status, "InternalServerError"),
            "param": param,
            "code": status,
        }
    else:
        error = {"message": message, "type": kind or "invalid_request_error", "param": param, "code": code}
    return json_reply(status, {"error": error})


def unsupported_field(name: str) -> Reply:
    """OpenAI's refusal of a field that a model does not support."""
    text = f"Unsupported parameter: '{name}' is not supported with this model."
    return error_reply("openai", 400, text, param=name, code="unsupported_parameter")


def overflow(dialect: Dialect, limit: int, prompt: int, output: float) -> Reply | None:
    """The error where a context of `limit` tokens is too small for `prompt` and `output` tokens; None where it is not.

    OpenAI wants room for both. vLLM cuts the output to what is left and complains only where nothing is.
    """
    most = f"This model's maximum context length is {limit} tokens. However, "
    if dialect == "openai":
        wanted = prompt + (int(output) if math.isfinite(output) else 1)
        text = most + f"you requested {wanted} tokens ({prompt} in the messages). Please reduce the length."
        error = error_reply(dialect, 400, text, param="messages", code="context_length_exceeded")
        return error if wanted > limit else None
    if prompt > limit:
        text = most + f"your prompt contains at least {limit + 1} input tokens. Please reduce the length."
        return error_reply(dialect, 400, text, param="input_tokens")
    if prompt == limit:
        return error_reply(dialect, 400, "max_tokens must be at least 1, got 0.", param="max_tokens")
    if math.isfinite(output) and output > limit:
        text = f"max_tokens={output} cannot be greater than max_model_len={limit}."
        return error_reply(dialect, 400, text, param="max_tokens")
    return None


def words(text: str) -> list[str]:
    """The fake's tokens: each word with the white space before it."""
    return re.findall(r"\s*\S+|\s+$", text)


def prompt_tokens(messages: list[dict[str, str]]) -> int:
    return sum(len(words(message["content"])) for message in messages)


def output_limit(request: Request) -> float:
    """Tokens that the answer may have; inf where the request does not say."""
    limit = request.get("max_completion_tokens") or request.get("max_tokens")
    return math.inf if limit is None else limit


def digest(request: Request, number: int) -> str:
    """What the default answer depends on: the messages and, unless greedy, the seed (without one, the request)."""
    drawn = request.get("temperature", 1) and request.get("seed", f"request {number}")
    return hashlib.sha256(json.dumps([request["messages"], drawn]).encode()).hexdigest()


def default_answer(request: Request, number: int) -> str:
    """A turn in ReAct form; one of the choices or an instance of the schema where the request is bound to one."""
    mark = digest(request, number)
    structured = request.get("structured_outputs") or {}
    if "choice" in structured:
        return structured["choice"][int(mark, 16) % len(structured["choice"])]
    schema = wanted_schema(request)
    if schema is not None:
        return json.dumps(_instance(schema, schema, mark[:12]))
    return f"Thought: the seed led me to {mark[:12]} here.\nAction: look"


def wanted_schema(request: Request) -> dict[str, Any] | None:
    structured = request.get("structured_outputs") or {}
    if "json" in structured:
        return structured["json"]
    wanted = request.get("response_format") or {}
    return wanted["json_schema"]["schema"] if wanted.get("type") == "json_schema" else None


def _instance(schema: dict[str, Any], root: dict[str, Any], text: str) -> Any:
    if "$ref" in schema:
        return _instance(root["$defs"][schema["$ref"].rsplit("/", 1)[1]], root, text)
    if "anyOf" in schema:
        return _instance(schema["anyOf"][0], root, text)
    if "enum" in schema:
        return schema["enum"][0]
    if schema["type"] == "object":
        return {name: _instance(part, root, text) for name, part in schema["properties"].items()}
    return {"array": [], "string": text, "null": None, "boolean": True}.get(schema["type"], 0)


def fits(request: Request, text: str) -> bool:
    """Whether a text obeys the request's choice, regex or schema."""
    structured = request.get("structured_outputs") or {}
    if "choice" in structured:
        return text in structured["choice"]
    if "regex" in structured:
        return re.fullmatch(structured["regex"], text) is not None
    schema = wanted_schema(request)
    if schema is None:
        return True
    try:
        jsonschema.validate(json.loads(text), schema)
    except (ValueError, jsonschema.ValidationError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Cut:
    """The text until a limit or a stop string (`met`) ended it."""

    text: str
    tokens: int
    finish: Finish
    met: str | None = None


def cut(text: str, limit: float, stop: list[str], *, end_counts: bool) -> Cut:
    """`end_counts`: the end of the turn is a token that must fit too, as in vLLM."""
    tokens = words(text) + [""] * end_counts
    written = tokens if len(tokens) <= limit else tokens[: int(limit)]
    within = "".join(written)
    met = [(within.find(one), one) for one in stop if one in within]
    if met:
        place, one = min(met)
        return Cut(within[:place], len(words(within[: place + len(one)])), "stop", one)
    return Cut(within, len(written), "stop" if len(written) == len(tokens) else "length")


def completion(
    request: Request, text: str, *, dialect: Dialect, model: str, number: int, cached: int, n_ctx: float
) -> Reply:
    """The honest answer with `text`, cut to the request's limits; `cached` of its prompt tokens were cached."""
    prompt, stop = prompt_tokens(request["messages"]), request.get("stop") or []
    limit = min(output_limit(request), n_ctx - prompt)
    done = cut(text, limit, [stop] if isinstance(stop, str) else stop, end_counts=dialect == "vllm")
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": done.text, "refusal": None},
        "logprobs": None,
        "finish_reason": done.finish,
    }
    if dialect == "vllm":
        choice["stop_reason"] = done.met
    total = prompt + done.tokens
    usage = {"prompt_tokens": prompt, "completion_tokens": done.tokens, "total_tokens": total}
    return json_reply(
        200,
        {
            "id": f"chatcmpl-{number}",
            "object": "chat.completion",
            "created": 1_700_000_000 + number,
            "model": model,
            "choices": [choice],
            "usage": {**usage, "prompt_tokens_details": {"cached_tokens": cached}},
        },
    )
