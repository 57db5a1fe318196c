"""What a run needs from outside, checked before its first hour of work and not after it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from configs.needed import needed_stages
from configs.schema import ExecutionConfig, FactoryConfig
from configs.servers import EndpointConfig
from configs.stages import STAGES
from environments.missing import refuse_what_it_cannot
from environments.registry import open_world
from models.policy import PolicyFault
from storage.remote.mirrors import check_store
from tasks.resources.api_keys import key_of

PLAYING = frozenset(("explore", "rewards", "evaluate"))
TRAINING = frozenset(("warmup", "train"))


def preflight(config: FactoryConfig, stages: Collection[str] = STAGES, quick: bool = False) -> None:
    """Check everything that some stages will need. Raises StorageFault for a URL that cannot be used as data folder,
    EnvironmentFault for a world that cannot be made, PolicyFault for a key, device, vLLM command or `accelerate launch`
    file that is missing, for a base model that cannot be trained or played, and for a scorer that cannot be played;
    RunnerFault for a Ray cluster that cannot be used. `quick`: leave out what needs a Prefect server (secrets),
    transformers (base model and scorer) or a while (nodes of Ray)."""
    wanted = frozenset(stages)
    check_store(config.data_dir.expanduser().resolve())
    if wanted & TRAINING:
        accelerate_file(config.execution)
    if config.execution.runner == "ray" and wanted - TRAINING:
        _check_ray(config, quick)
    _check_device(config, wanted)
    _check_endpoints(config, wanted, ask_prefect=not quick)
    _check_world(config, "demonstrate" in wanted and not quick)
    if "warmup" in wanted and config.policy.base and not quick:
        _check_base_model(config)
    if "rewards" in wanted and config.rewards.scorer and not quick:
        _check_scorer(config, config.rewards.scorer)


def _check_ray(config: FactoryConfig, quick: bool) -> None:
    from tasks.ray.cluster import check_cluster, check_reachable

    if quick:
        check_reachable(config.execution.ray)
    else:
        check_cluster(config)


def _check_world(config: FactoryConfig, whole: bool) -> None:
    """Make the world; with `whole` also one environment, to see what it can do."""
    world = open_world(config.environment)
    try:
        if whole:
            policy = config.policy
            refuse_what_it_cannot(world, policy.prompt, policy.constrain == "admissible")
    finally:
        world.close()


def _playing(config: FactoryConfig) -> frozenset[str]:
    """The stages in which the policy writes."""
    return PLAYING | ({"calibrate"} if config.calibration.reflector == "policy" else frozenset())


def _check_device(config: FactoryConfig, wanted: frozenset[str]) -> None:
    played_here = _playing(config) if config.policy.engine == "transformers" else frozenset[str]()
    if config.execution.device == "cuda" and wanted & (TRAINING | played_here):
        from models.local.device import pick_device

        pick_device("cuda")


def _check_endpoints(config: FactoryConfig, wanted: frozenset[str], ask_prefect: bool) -> None:
    needed = wanted & needed_stages(config)
    reflects = "calibrate" in needed and config.calibration.reflector == "llm"
    if reflects or ("rewards" in needed and config.judges):
        _check_key(config.execution.reflector, "execution.reflector", ask_prefect)
    if wanted & _playing(config) and config.policy.engine == "openai":
        from models.served.vllm_command import program_of

        _check_key(config.execution.server, "execution.server", ask_prefect)
        if not config.execution.server.base_urls:
            program_of(config.execution.server)


def _check_key(endpoint: EndpointConfig, what: str, ask_prefect: bool) -> None:
    if ask_prefect or not endpoint.key_secret:
        key_of(endpoint, what)


def _check_base_model(config: FactoryConfig) -> None:
    """Check the base model in seconds, without loading its weights."""
    from models.base.model import check_base

    policy, thinks = config.policy, config.policy.thinking == "on"
    assert policy.base is not None, "checked by the caller"
    longest = {
        "warmup.max_tokens": config.warmup.max_tokens,
        "training.max_tokens": config.training.max_tokens,
        **_longest_turn(config),
    }
    check_base(policy.base, longest, in_process=policy.engine == "transformers", thinking=thinks)


def _check_scorer(config: FactoryConfig, folder: Path) -> None:
    """Check the model in `rewards.scorer` as a base model that is played and not trained."""
    from models.base.model import check_base

    check_base(
        folder,
        _longest_turn(config),
        in_process=config.policy.engine == "transformers",
        thinking=config.policy.thinking == "on",
        setting="rewards.scorer",
        trained=False,
    )


def _longest_turn(config: FactoryConfig) -> dict[str, int]:
    """The length of a turn, by the settings that say it."""
    policy = config.policy
    longest = {"policy.max_turn_tokens": policy.max_turn_tokens}
    if policy.thinking == "on":
        both = policy.max_turn_tokens + policy.max_thinking_tokens
        longest["policy.max_turn_tokens and max_thinking_tokens"] = both
    return longest


def accelerate_file(execution: ExecutionConfig) -> Path | None:
    """The configured file for `accelerate launch`. Raises PolicyFault if it is not there."""
    file = execution.accelerate
    if file and not file.is_file():
        raise PolicyFault(
            f"execution.accelerate: there is no file {file.absolute()}; give a path from the current folder, e.g. "
            "configs/accelerate/fsdp.yaml"
        )
    return file
