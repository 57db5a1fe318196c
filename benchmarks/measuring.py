"""Shared by the benchmarks: a policy to measure with, clocks in the world and the model, the machine."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from configs.schema import FactoryConfig
from environments.complete import CompleteWorld
from models.checkpoint import CheckpointRef, reference, save_checkpoint
from models.local.small import build_small_model
from models.local.tokenizer import train_tokenizer
from models.training.examples import Example
from models.training.train import train
from rollouts.stages.assemble import warmup_examples
from rollouts.stages.demonstrate import demonstrate

R = TypeVar("R")
ASKED = ("begin", "advance", "progress")
"""The world's methods that stages call during rollouts."""


class CpuClock:
    """CPU seconds by part. On a shared machine they are more reliable than wall time."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def timed(self, part: str, work: Callable[..., R]) -> Callable[..., R]:
        """The same function, timed."""

        def run(*args: Any, **kwargs: Any) -> R:
            began = time.thread_time()
            try:
                return work(*args, **kwargs)
            finally:
                self.seconds[part] += time.thread_time() - began

        return run

    def watch(self, model: Any) -> None:
        """Time the forward passes of a torch module, as "forward"."""
        began: list[float] = []
        model.register_forward_pre_hook(lambda *_: began.append(time.thread_time()))

        def ended(*_: Any) -> None:
            self.seconds["forward"] += time.thread_time() - began.pop()

        model.register_forward_hook(ended)


class TimedWorld:
    """A world whose episodes are timed, as "environment"."""

    def __init__(self, world: CompleteWorld, clock: CpuClock) -> None:
        self._world = world
        for name in ASKED:
            setattr(self, name, clock.timed("environment", getattr(world, name)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, name)


def warmed_up(world: CompleteWorld, config: FactoryConfig, data: Path) -> CheckpointRef:
    """The warm-up policy of a configuration, trained in about a minute, or reused from `data`."""
    kept = data / f"warm-up-{config.tasks.demonstrations}-{config.warmup.steps}.txt"
    if kept.is_file():
        return reference(data / "checkpoints" / kept.read_text())
    base, examples = warm_up_inputs(world, config, data)
    trained = train(base, examples, config.warmup, data / "checkpoints", seed=config.seed, device="cpu")
    kept.write_text(trained.ref.path.name)
    return trained.ref


def warm_up_inputs(
    world: CompleteWorld, config: FactoryConfig, data: Path
) -> tuple[CheckpointRef, list[Example]]:
    """What a configuration's warm-up starts from: a new small model, saved in `data`, and the examples."""
    records = demonstrate(world, world.tasks("train", config.tasks.demonstrations, config.seed), config)
    examples = warmup_examples(world, records, config.policy.prompt)
    texts = [message["content"] for example in examples for message in example.messages]
    tokenizer = train_tokenizer(texts, world.vocabulary(), config.policy.small.vocabulary)
    model = build_small_model(tokenizer, config.policy.small, config.seed)
    base = save_checkpoint(model, tokenizer, data / "checkpoints", {"base": None, "seed": config.seed})
    return base, examples


def machine() -> str:
    """The processor, its number of cores, and the load."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = "unknown processor"
    return f"{model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
