"""What actors need of servers: API keys, and the address of the vLLM server that the driver has started for all."""

from __future__ import annotations

import secrets
from threading import Lock
from typing import TYPE_CHECKING

from configs.schema import FactoryConfig
from tasks.batch import Order
from tasks.resources.api_keys import key_of
from tasks.resources.run_resources import RunResources

if TYPE_CHECKING:
    from models.served.vllm_server import VllmServer

SERVER_KEY, REFLECTOR_KEY = "STECA_RAY_SERVER_KEY", "STECA_RAY_REFLECTOR_KEY"
"""Environment variables of actors, which hold the keys whatever they are called here."""
_NO_KEY = {"key_env": "", "key_secret": ""}


class Servers:
    """The servers of a stage's actors. `host`: the address of this machine that all nodes can reach."""

    def __init__(self, config: FactoryConfig, resources: RunResources, host: str) -> None:
        self._config, self._resources, self._host = config, resources, host
        self._server: VllmServer | None = None
        self._digest, self._own_key, self._lock = "", "", Lock()

    def configured(self, order: Order) -> tuple[FactoryConfig, dict[str, str]]:
        """The configuration with which an actor runs the order, and the variables with the keys that it needs. Starts
        a server where there is none for the checkpoint. Raises PolicyFault."""
        execution, keys = self._config.execution, dict[str, str]()
        server = execution.server.model_copy(update=_NO_KEY)
        reflector = execution.reflector.model_copy(update=_NO_KEY)
        if order.waits_for == "policy" and self._config.policy.engine == "openai":
            key = key_of(execution.server, "execution.server")
            if not execution.server.base_urls and not execution.ray.gpus:
                url, key = self._started(order.inputs["checkpoint"], key)
                server = server.model_copy(update={"base_urls": (url,)})
            if key:
                server, keys[SERVER_KEY] = server.model_copy(update={"key_env": SERVER_KEY}), key
        asks = order.waits_for == "judge" or (
            order.waits_for == "reflector" and self._config.calibration.reflector == "llm"
        )
        if asks and (key := key_of(execution.reflector, "execution.reflector")):
            reflector, keys[REFLECTOR_KEY] = reflector.model_copy(update={"key_env": REFLECTOR_KEY}), key
        sent = execution.model_copy(update={"server": server, "reflector": reflector})
        return self._config.model_copy(update={"execution": sent, "data_dir": self._resources.root}), keys

    def revive(self) -> None:
        """Start the server again if it has died. Raises PolicyFault."""
        from tasks.resources.served_policy import revive

        if server := self._server:
            revive(server, self._resources.log)

    def close(self) -> None:
        """End the server."""
        server, self._server = self._server, None
        if server:
            server.close()

    def _started(self, digest: str, key: str | None) -> tuple[str, str]:
        """The address of a server for the checkpoint, and its key: one that other machines reach has a key."""
        from models.served.vllm_command import LOOPBACK
        from tasks.resources.served_policy import started_server

        with self._lock:
            if self._server is None or self._digest != digest:
                self.close()
                self._own_key = key or ("" if self._host == LOOPBACK else secrets.token_urlsafe(24))
                execution, ref = self._resources.execution, self._resources.checkpoint(digest)
                self._server = started_server(
                    ref,
                    self._resources.server,
                    self._own_key,
                    self._resources.root / "logs",
                    self._resources.log,
                    execution.key_variables,
                    self._host,
                )
                self._digest = digest
            return self._server.base_url, self._own_key
