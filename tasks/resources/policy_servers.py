"""The servers of a stage's policies: those of the whole run, which outlive the stage, else its own."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from configs.schema import FactoryConfig
from models.checkpoint_ref import CheckpointRef
from models.served.server_pool import ServerPool, lasting_servers
from models.served.vllm_command import LOOPBACK
from models.served.vllm_server import VllmServer
from tasks.call_log import CurrentCallLog
from tasks.resources.api_keys import key_of

if TYPE_CHECKING:
    from models.served.openai_policy import OpenAIPolicy


class PolicyServers:
    """Opens policies of engine openai, on servers that are started for their checkpoints, or that the configuration
    names."""

    def __init__(self, config: FactoryConfig, root: Path, log: Callable[[str], None]) -> None:
        execution, arguments = config.execution, config.policy.arguments
        server = execution.server
        self._config = server.model_copy(update={"arguments": (*arguments, *server.arguments)})
        self._secret, self._logs, self._log = execution.key_variables, root / "logs", log
        self._ray = execution.ray if execution.runner == "ray" else None
        own = bool(server.base_urls) or bool(self._ray and self._ray.gpus)  # actors with GPUs have their own
        self._lasting = lasting_servers()
        self._servers = self._lasting or ServerPool(server.at_once)
        self.last = bool(self._lasting) and config.policy.engine == "openai" and not own

    def policy(self, ref: CheckpointRef) -> OpenAIPolicy:
        """A checkpoint as a policy. Raises PolicyFault if it cannot be served."""
        from tasks.resources.served_policy import served_policy

        return served_policy(ref, self._config, CurrentCallLog(), partial(self.running, ref), self._log)

    def running(self, ref: CheckpointRef) -> VllmServer:
        """The server of a checkpoint, started if it does not run. Raises PolicyFault."""
        return self._servers.server(ref.digest, partial(self._new, ref), self._log)

    def start_ahead(self, ref: CheckpointRef) -> None:
        """Start the server of a checkpoint that the next stage needs, if it outlives this one."""
        if self.last:
            self._servers.start_ahead(ref.digest, partial(self._new, ref), self._log)

    def make_room(self) -> None:
        """End the servers before a model is trained, unless several may run."""
        self._servers.make_room()

    def close(self) -> None:
        """End the servers that do not outlive the stage."""
        if not self._lasting:
            self._servers.close()

    def _new(self, ref: CheckpointRef) -> VllmServer:
        key, host = key_of(self._config, "execution.server") or "", LOOPBACK
        if self._ray:
            from tasks.ray.cluster import driver_address

            host = driver_address(self._ray)
        if host != LOOPBACK:  # what other machines reach has a key
            key = key or secrets.token_urlsafe(24)
        return VllmServer(ref, self._config, self._logs, key, self._secret, host)
