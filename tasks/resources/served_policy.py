"""A checkpoint served over the OpenAI API: by a vLLM server started for it, or by servers that already run."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from functools import cache, partial
from pathlib import Path

from configs.servers import ServerConfig
from models.checkpoint_ref import CheckpointRef
from models.client.calls import CallLog
from models.client.endpoint import Endpoint
from models.client.errors import RequestError
from models.served.openai_policy import OpenAIPolicy
from models.served.verification import ServerUnreachable, verify_served
from models.served.vllm_command import LOOPBACK
from models.served.vllm_server import VllmServer
from models.thinking import TurnFormat
from tasks.resources.api_keys import key_of


def served_policy(
    ref: CheckpointRef,
    config: ServerConfig,
    call_log: CallLog,
    logs: Path,
    log: Callable[[str], None],
    secret: Collection[str] = (),
) -> OpenAIPolicy:
    """The checkpoint as a policy. Every server is asked what it serves before it is used, and again after it could
    not be reached. A server started here does not get the environment variables `secret`. Raises PolicyFault."""
    key, formats = key_of(config, "execution.server"), _formats(ref)
    if config.base_urls:
        return OpenAIPolicy(_endpoint(ref, config, key, call_log, log), ref.digest, turn_format=formats)
    server = started_server(ref, config, key, logs, log, secret)
    own = config.model_copy(update={"base_urls": (server.base_url,)})
    revived = partial(revive, server, log)
    return OpenAIPolicy(_endpoint(ref, own, key, call_log, log, revived), ref.digest, server.close, formats)


def started_server(
    ref: CheckpointRef,
    config: ServerConfig,
    key: str | None,
    logs: Path,
    log: Callable[[str], None],
    secret: Collection[str] = (),
    host: str = LOOPBACK,
) -> VllmServer:
    """A vLLM server for the checkpoint, ready. Raises PolicyFault."""
    server = VllmServer(ref, config, logs, key or "", secret, host)
    log(f"starting vLLM for checkpoint {ref.digest[:16]}; its log: {server.log}")
    began = time.monotonic()
    server.start()
    log(f"vLLM is ready after {time.monotonic() - began:.0f} s")
    return server


def revive(server: VllmServer, log: Callable[[str], None]) -> None:
    """Start a server again that has died. Raises PolicyFault."""
    if not server.alive():
        log(f"the vLLM server has died and is restarted; its log: {server.log}")
        server.restart()


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
