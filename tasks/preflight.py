"""What a run will need of the outside, looked for before its first hour of work and not after it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from configs.schema import ExecutionConfig, FactoryConfig
from configs.servers import EndpointConfig
from environments.registry import make_world
from models.policy import PolicyFault
from tasks.resources.api_keys import key_of

PLAYING = frozenset(("explore", "rewards", "evaluate"))
TRAINING = frozenset(("warmup", "train"))


def preflight(config: FactoryConfig, stages: Collection[str] | None = None, ask_prefect: bool = True) -> None:
    """Look for everything that some stages (None: all) will need. Raises EnvironmentFault for a world that cannot be
    made, PolicyFault where a key, a device, the command that starts vLLM or the file for `accelerate launch` is
    missing. `ask_prefect`: whether there is a Prefect server that secrets can be asked of."""
    make_world(config.environment.name, config.environment.options)
    wanted = PLAYING | TRAINING | {"calibrate"} if stages is None else frozenset(stages)
    played_here = PLAYING if config.policy.engine == "transformers" else frozenset[str]()
    if config.execution.device == "cuda" and wanted & (TRAINING | played_here):
        from models.local.transformers_policy import pick_device

        pick_device("cuda")
    if wanted & TRAINING:
        accelerate_file(config.execution)
    if "calibrate" in wanted and config.calibration.reflector == "llm":
        _check_key(config.execution.reflector, "execution.reflector", ask_prefect)
    if wanted & PLAYING and config.policy.engine == "openai":
        from models.served.vllm_command import program_of

        _check_key(config.execution.server, "execution.server", ask_prefect)
        if not config.execution.server.base_urls:
            program_of(config.execution.server)


def _check_key(endpoint: EndpointConfig, what: str, ask_prefect: bool) -> None:
    if ask_prefect or not endpoint.key_secret:
        key_of(endpoint, what)


def check_base_model(config: FactoryConfig) -> None:
    """Raises PolicyFault where `policy.base` is a model that cannot be trained or played: one line, in seconds, without
    its weights. For when something is to be trained; it loads transformers."""
    policy = config.policy
    if policy.base is None:
        return
    from models.base.model import check_base
    from models.base.template import check_template

    thinks = policy.thinking == "on"
    longest = {
        "warmup.max_tokens": config.warmup.max_tokens,
        "training.max_tokens": config.training.max_tokens,
        "policy.max_turn_tokens": policy.max_turn_tokens,
    }
    if thinks:
        both = policy.max_turn_tokens + policy.max_thinking_tokens
        longest["policy.max_turn_tokens and max_thinking_tokens"] = both
    check_base(policy.base, longest, in_process=policy.engine == "transformers")
    if fault := check_template(policy.base, thinks):
        raise PolicyFault(fault)


def accelerate_file(execution: ExecutionConfig) -> Path | None:
    """The configured file for `accelerate launch`. Raises PolicyFault where it is not there."""
    file = execution.accelerate
    if file and not file.is_file():
        raise PolicyFault(
            f"execution.accelerate: there is no file {file.absolute()}; give a path from the current folder, e.g. "
            "configs/accelerate/fsdp.yaml"
        )
    return file
