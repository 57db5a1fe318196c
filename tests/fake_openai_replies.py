"""What the fake server says: errors as OpenAI and vLLM word them, and honest completions."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable
from typing import Any, Literal

import jsonschema

from tests.fake_openai_wire import Reply

Dialect = Literal["openai", "vllm"]
Request = dict[str, Any]
Answer = Callable[[Request, int], str]
"""From a request's body and its number on this server to the whole text that the model would write."""


def json_reply(status: int, data: object) -> Reply:
    return Reply(status, json.dumps(data).encode())


def error_reply(
    dialect: Dialect, status: int, message: str, *, kind: str = "", param: str | None = None, code: str | None = None
) -> Reply:  # fmt: skip
    """An error body. vLLM names the type by the status and repeats the status as code; OpenAI has codes of its own."""
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


def overflow_reply(dialect: Dialect, limit: int, prompt: int, output: int) -> Reply:
    """`prompt` and `output` are the tokens of the messages and those asked for."""
    if dialect == "openai":
        text = f"This model's maximum context length is {limit} tokens. However, you requested {prompt + output} "
        text += f"tokens ({prompt} in the messages, {output} in the completion). Please reduce the messages."
        return error_reply(dialect, 400, text, param="messages", code="context_length_exceeded")
    text = f"This model's maximum context length is {limit} tokens. However, you requested {output} output tokens and "
    text += f"your prompt contains {prompt} input tokens, for a total of {prompt + output} tokens. "
    text += "Please reduce the length of the input prompt or the number of requested output tokens."
    return error_reply(dialect, 400, text, param="input_tokens")


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


def cut(request: Request, text: str) -> tuple[str, str, str | None]:
    """The text up to the token limit or the first stop string; the finish reason; the stop string that was met."""
    tokens = words(text)
    limit = output_limit(request)
    within = text if len(tokens) <= limit else "".join(tokens[: int(limit)])
    stop = request.get("stop") or []
    met = [(within.find(one), one) for one in ([stop] if isinstance(stop, str) else stop) if one in within]
    if met:
        place, one = min(met)
        return within[:place], "stop", one
    return within, "stop" if len(tokens) <= limit else "length", None


def completion(
    request: Request, text: str, *, dialect: Dialect, model: str, number: int, cached: int
) -> Reply:
    """The honest answer that gives `text`, cut as the request says; `cached` of its prompt's tokens were known."""
    content, finish, met = cut(request, text)
    prompt, output = prompt_tokens(request["messages"]), len(words(content))
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content, "refusal": None},
        "logprobs": None,
        "finish_reason": finish,
    }
    if dialect == "vllm":
        choice["stop_reason"] = met
    usage = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
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
