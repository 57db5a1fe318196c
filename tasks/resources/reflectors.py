"""The reflector that a configuration names, built from what the world and the model contribute."""

from __future__ import annotations

from collections.abc import Callable

from configs.schema import CalibrationConfig
from configs.servers import ReflectorEndpoint
from environments.base import World
from models.client.calls import CallLog
from models.client.endpoint import Endpoint
from models.reflectors.llm_reflector import LLMReflector
from models.reflectors.reflector import ReflectionRequest, TemplateReflector
from tasks.resources.api_keys import key_of


def template_reflector(world: World) -> TemplateReflector:
    """The offline reflector: the world composes the thought from what was observed."""

    def compose(request: ReflectionRequest) -> str:
        return world.reflect(
            request.instruction, request.first_observation, request.steps, request.required_action
        )

    return TemplateReflector(compose)


def llm_reflector(
    config: CalibrationConfig,
    where: ReflectorEndpoint,
    world: World,
    call_log: CallLog,
    log: Callable[[str], None],
) -> LLMReflector:
    """A language model behind an API. The world says which names a thought may mention. Raises PolicyFault if the
    API key is missing."""

    def ungrounded(request: ReflectionRequest, thought: str) -> list[str]:
        return world.ungrounded(
            request.first_observation, request.instruction, request.steps, request.required_action, thought
        )

    key = key_of(where, "execution.reflector")
    # a provider's model has no digest that could be verified, only a name
    endpoint = Endpoint(where, key, "reflection", config.model, call_log, lambda _: config.model, log)
    return LLMReflector(endpoint, config, ungrounded, where.least_usable, log)
