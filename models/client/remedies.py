"""What the user can do about a failed request."""

from __future__ import annotations

from configs.servers import EndpointConfig
from models.client.errors import RequestError

_RESUMES = "finished answers are kept and the same run resumes from them"


def remedy(error: RequestError, config: EndpointConfig) -> str:
    if error.kind == "key":
        return _check_key(config)
    if error.kind == "model":
        return "check base_urls (most end in /v1) and the model's name"
    if error.kind == "quota":
        return f"the account has no credit left: {_RESUMES}"
    if error.kind == "connection":
        return f"check base_urls and that the server is running; {_RESUMES}"
    if error.kind == "unsupported":
        return "serve the checkpoint with a server that supports it, such as vLLM, or change the setting that needs it"
    if error.retry_after and error.retry_after > config.patience_seconds:
        return f"the server asks to wait {error.retry_after:.0f} s: run again then; finished answers are kept"
    if error.is_transient:
        return _RESUMES
    return "fix the request or the server's settings; finished answers are kept"


def _check_key(config: EndpointConfig) -> str:
    sources = [
        f"the variable {config.key_env}" if config.key_env else "",
        f"the Prefect secret {config.key_secret}" if config.key_secret else "",
    ]
    named = " or ".join(filter(None, sources))
    return f"check {named}" if named else "name the variable that holds the key in key_env"
