"""What to do about a request that cannot be answered."""

from __future__ import annotations

from configs.servers import EndpointConfig
from models.client.errors import RequestError

_GOES_ON = "what was answered is kept, the same run goes on from there"


def advice(error: RequestError, config: EndpointConfig) -> str:
    if error.kind == "key":
        return _about_the_key(config)
    if error.kind == "model":
        return "check base_urls (most end in /v1) and the model's name"
    if error.kind == "quota":
        return f"the account has no credit left: {_GOES_ON}"
    if error.kind == "connection":
        return f"check base_urls and that the server runs; {_GOES_ON}"
    if error.kind == "unsupported":
        return "serve the checkpoint by a server that takes it, as vLLM does, or change the setting that asks for it"
    if error.retry_after and error.retry_after > config.patience_seconds:
        return f"it asks to wait {error.retry_after:.0f} s: run again then; what was answered is kept"
    if error.passes:
        return _GOES_ON
    return "mend the request or the server's settings; what was answered is kept"


def _about_the_key(config: EndpointConfig) -> str:
    places = [
        f"the variable {config.key_env}" if config.key_env else "",
        f"the Prefect secret {config.key_secret}" if config.key_secret else "",
    ]
    named = " or ".join(filter(None, places))
    return f"check {named}" if named else "name the variable that holds the key in key_env"
