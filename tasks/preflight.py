"""What a run will need of the outside, looked for before its first hour of work and not after it."""

from __future__ import annotations

from configs.schema import FactoryConfig
from tasks.keys import key_of


def preflight(config: FactoryConfig) -> None:
    """Raises PolicyFault where a key or the command that starts vLLM is missing."""
    if config.calibration.reflector == "llm":
        key_of(config.execution.reflector, "execution.reflector")
    if config.policy.engine == "openai":
        from models.vllm_command import program_of

        key_of(config.execution.server, "execution.server")
        if not config.execution.server.base_urls:
            program_of(config.execution.server)
