"""What actors need of servers: API keys, and the address of the vLLM server that the driver has started for all."""

from __future__ import annotations

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
    """The servers of a stage's actors."""

    def __init__(self, config: FactoryConfig, resources: RunResources) -> None:
        self._config, self._resources = config, resources
        self._started: VllmServer | None = None

    def configured(self, order: Order) -> tuple[FactoryConfig, dict[str, str]]:
        """The configuration with which an actor runs the order, and the variables with the keys that it needs. Starts
        a server where there is none for the checkpoint. Raises PolicyFault."""
        execution, keys = self._config.execution, dict[str, str]()
        server = execution.server.model_copy(update=_NO_KEY)
        reflector = execution.reflector.model_copy(update=_NO_KEY)
        if order.waits_for == "policy" and self._config.policy.engine == "openai":
            key = key_of(execution.server, "execution.server")
            if not execution.server.base_urls and not execution.ray.gpus:
                started = self._resources.servers.running(
                    self._resources.checkpoint(order.inputs["checkpoint"])
                )
                self._started, key = started, started.key
                server = server.model_copy(update={"base_urls": (started.base_url,)})
            if key:
                server, keys[SERVER_KEY] = server.model_copy(update={"key_env": SERVER_KEY}), key
        asks = order.waits_for == "judge" or (
            order.waits_for == "reflector" and self._config.calibration.reflector == "llm"
        )
        if asks and (key := key_of(execution.reflector, "execution.reflector")):
            reflector, keys[REFLECTOR_KEY] = reflector.model_copy(update={"key_env": REFLECTOR_KEY}), key
        there = execution.model_copy(update={"runner": "local", "server": server, "reflector": reflector})
        return self._config.model_copy(update={"execution": there, "data_dir": self._resources.root}), keys

    def revive(self) -> None:
        """Start the server again if it has died. Raises PolicyFault."""
        if self._started:
            self._started.revive(self._resources.log)
