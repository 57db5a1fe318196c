"""A checkpoint behind servers: one that is started for it, or those that run already."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from configs.serving import ServerConfig
from models.calls import Book
from models.endpoint import Endpoint
from models.openai_policy import OpenAIPolicy
from models.reference import CheckpointRef
from models.serving import verify_served
from models.vllm_server import VllmServer
from tasks.keys import key_of


def served_policy(
    ref: CheckpointRef, config: ServerConfig, book: Book, logs: Path, says: Callable[[str], None]
) -> OpenAIPolicy:
    """The checkpoint as a policy. Every server is asked what it serves before it is used, and again after it was not
    to be reached. Raises PolicyFault."""
    key = key_of(config, "execution.server")
    if config.base_urls:
        return OpenAIPolicy(_endpoint(ref, config, key, book), ref.digest)
    server = VllmServer(ref, config, logs, key)
    says(f"starting vLLM for checkpoint {ref.digest[:16]}; its log: {server.log}")
    server.start()
    own = config.model_copy(update={"base_urls": (server.base_url,)})
    return OpenAIPolicy(_endpoint(ref, own, key, book, server.revive), ref.digest, server.close)


def _endpoint(
    ref: CheckpointRef,
    config: ServerConfig,
    key: str | None,
    book: Book,
    revive: Callable[[], None] = lambda: None,
) -> Endpoint:
    def verify(base_url: str) -> str:
        revive()
        return verify_served(base_url, ref, key, config.timeout_seconds)

    return Endpoint(config, key, "policy", ref.digest, book, verify)
