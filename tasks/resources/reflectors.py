"""The reflector and the judge that a configuration names, built from what the world and the model contribute."""

from __future__ import annotations

from collections.abc import Callable

from configs.calibration import CalibrationConfig, JudgeConfig
from configs.schema import FactoryConfig
from configs.servers import ReflectorEndpoint
from environments.complete import CompleteWorld
from models.client.calls import CallLog
from models.client.endpoint import Endpoint
from models.judges.llm_judge import LLMJudge
from models.policy import Policy, Sampling
from models.reflectors.checks import UngroundedNames
from models.reflectors.llm_reflector import LLMReflector
from models.reflectors.policy_reflector import PolicyReflector
from models.reflectors.reflector import ReflectionRequest, TemplateReflector
from steca.vocabulary import CallPurpose
from tasks.resources.api_keys import key_of


def template_reflector(world: CompleteWorld) -> TemplateReflector:
    """The offline reflector: the world composes the thought from what was observed."""

    def compose(request: ReflectionRequest) -> str:
        return world.reflect(
            request.instruction, request.first_observation, request.steps, request.required_action
        )

    return TemplateReflector(compose)


def ungrounded_names(world: CompleteWorld) -> UngroundedNames:
    """The world says which names a thought may mention."""

    def ungrounded(request: ReflectionRequest, thought: str) -> list[str]:
        return world.ungrounded(
            request.first_observation, request.instruction, request.steps, request.required_action, thought
        )

    return ungrounded


def llm_reflector(
    config: CalibrationConfig,
    where: ReflectorEndpoint,
    world: CompleteWorld,
    call_log: CallLog,
    log: Callable[[str], None],
) -> LLMReflector:
    """A language model behind an API. Raises PolicyFault if the API key is missing."""
    endpoint = _endpoint(where, "reflection", config.model, call_log, log)
    return LLMReflector(endpoint, config, ungrounded_names(world), where.least_usable, log)


def llm_judge(
    config: JudgeConfig, where: ReflectorEndpoint, call_log: CallLog, log: Callable[[str], None]
) -> LLMJudge:
    """A language model behind the same API as the step judge. Raises PolicyFault if the API key is missing."""
    endpoint = _endpoint(where, "judgement", config.model, call_log, log)
    return LLMJudge(endpoint, config, where.least_usable, log)


def policy_reflector(
    config: FactoryConfig, policy: Policy, world: CompleteWorld, log: Callable[[str], None]
) -> PolicyReflector:
    """The policy itself. Its sampling is greedy, unless `calibration.temperature` is set."""
    calibration, thinks = config.calibration, config.policy.thinking == "on"
    most = calibration.max_tokens + (config.policy.max_thinking_tokens if thinks else 0)
    sampling = Sampling(calibration.temperature or 0.0, max_tokens=most, thinking=thinks)
    return PolicyReflector(policy, sampling, calibration.attempts, ungrounded_names(world), log)


def _endpoint(
    where: ReflectorEndpoint, purpose: CallPurpose, model: str, call_log: CallLog, log: Callable[[str], None]
) -> Endpoint:
    key = key_of(where, "execution.reflector")
    # a provider's model has no digest that could be verified, only a name
    return Endpoint(where, key, purpose, model, call_log, lambda _: model, log)
