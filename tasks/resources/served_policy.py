"""A checkpoint served over the OpenAI API: by a vLLM server that this process started, or by others that run."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

from configs.servers import ServerConfig
from models.checkpoint_ref import CheckpointRef
from models.client.calls import CallLog
from models.client.endpoint import Endpoint
from models.client.errors import RequestError
from models.served.openai_policy import OpenAIPolicy
from models.served.verification import ServerUnreachable, verify_served
from models.served.vllm_server import VllmServer
from models.thinking import TurnFormat
from tasks.resources.api_keys import key_of


def served_policy(
    ref: CheckpointRef,
    config: ServerConfig,
    call_log: CallLog,
    server: Callable[[], VllmServer],
    log: Callable[[str], None],
) -> OpenAIPolicy:
    """The checkpoint as a policy. Every server is asked what it serves before it is used, and again after it could
    not be reached. `server` gives the running server where the configuration names none. Raises PolicyFault."""
    key, formats = key_of(config, "execution.server"), _formats(ref)
    if config.base_urls:
        return OpenAIPolicy(_endpoint(ref, config, key, call_log, log), ref.digest, turn_format=formats)
    started = server()
    own = config.model_copy(update={"base_urls": (started.base_url,)})

    revive = partial(started.revive, log)
    return OpenAIPolicy(_endpoint(ref, own, key, call_log, log, revive), ref.digest, turn_format=formats)


def _formats(ref: CheckpointRef) -> Callable[[bool], TurnFormat]:
    """The format of turns in the checkpoint's chat template. transformers is loaded on the first call."""

    @cache
    def of(thinking: bool) -> TurnFormat:
        from transformers import AutoTokenizer

        from models.chat_templates import ChatTemplate

        return ChatTemplate(AutoTokenizer.from_pretrained(ref.path, trust_remote_code=False), thinking).format

    return of


def _endpoint(
    ref: CheckpointRef,
    config: ServerConfig,
    key: str | None,
    call_log: CallLog,
    log: Callable[[str], None],
    revive: Callable[[], None] = lambda: None,
) -> Endpoint:
    def verify(base_url: str) -> str:
        revive()
        try:
            return verify_served(base_url, ref, key or "", config.timeout_seconds)
        except ServerUnreachable as fault:  # it may still be starting: the request is retried
            raise RequestError("connection", str(fault)) from None

    return Endpoint(config, key, "policy", ref.digest, call_log, verify, log)
