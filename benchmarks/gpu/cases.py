"""The trainings that `benchmarks.gpu` measures: each calls `models.training.train.train`, as the stage train does."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch

from benchmarks.gpu.checks import check_divergence, check_resume
from benchmarks.gpu.inputs import (
    LLAMA_8B,
    QWEN_1_5B,
    TINY,
    Lengths,
    build_base,
    examples,
    preferences,
    tokenizer,
)
from benchmarks.gpu.memory import free_memory, peak_memory
from configs.load import load_config
from configs.training import LoraConfig, TrainingConfig
from models.checkpoint import CheckpointRef
from models.training.encoding import Encoder
from models.training.loop.ordering import FILLER, TrainingOrder
from models.training.objectives.preferences import Preferences
from models.training.train import train
from models.training.training_data import TrainingData
from steca.vocabulary import Device

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
CONFIG_OF = {QWEN_1_5B: "alfworld-qwen2.5-1.5b", LLAMA_8B: "alfworld-llama3-8b"}
ADAPTERS, ADAPTER_RATE = LoraConfig(rank=16, alpha=32), 3.0e-5
"""As a comment in configs/alfworld-qwen2.5-1.5b.yaml has them for section training."""
DISCARDED = 2
"""First steps that are not timed."""
USUAL, LONGEST, SHORT = Lengths(1000, 2000), Lengths(3900, 4000), Lengths(150, 300)
"""An episode; one that fills the 4,096 tokens of the configurations' warm-up; one for --tiny."""
Build = Callable[[str, Path, str], CheckpointRef]
"""Makes a base model of a shape under a folder, on a device."""
Objective = Literal["likelihood", "dpo"]
Method = Literal["LoRA", "full"]
Report = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """One timed training."""

    shape: str
    objective: Objective
    method: Method
    lengths: Lengths = USUAL

    @property
    def name(self) -> str:
        longest = "-longest" if self.lengths == LONGEST else ""
        return f"{self.shape}-{self.method.lower()}-{self.objective}{longest}"

    def settings(self, steps: int) -> TrainingConfig:
        """Those of the configuration, in one process."""
        config = load_config(CONFIGS / f"{CONFIG_OF[self.shape]}.yaml")
        given = config.training.optimization
        parts = given.gradient_accumulation * config.execution.processes
        changes: Report = {"steps": steps, "gradient_accumulation": parts}
        if self.method == "LoRA":
            changes |= {"lora": ADAPTERS, "learning_rate": ADAPTER_RATE}
        return TrainingConfig.model_validate({**given.model_dump(), **changes})


class Enough(Exception):
    """The last timed step is over."""


class StepClock:
    """Called after each optimizer step. Ends the training after the last one."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.losses: list[float] = []

    def __call__(self, done: int, of: int, loss: float) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())
        self.losses.append(loss)
        if done == of:
            raise Enough

    @property
    def seconds(self) -> float:
        """Of all timed steps together."""
        return self.ends[-1] - self.ends[DISCARDED - 1]


class Scratch:
    """A scratch folder with the base models, each built when it is first needed, and the device."""

    def __init__(self, root: Path, device: Device, tiny: bool) -> None:
        self.root, self.device, self.tiny = root, device, tiny
        self._bases: dict[tuple[str, Build], CheckpointRef] = {}

    def base(self, shape: str, build: Build = build_base) -> CheckpointRef:
        """A base model with random words; with `build_game_base`, one that knows the words of the games."""
        wanted = TINY if self.tiny else shape, build
        if wanted not in self._bases:
            began = time.perf_counter()
            self._bases[wanted] = build(wanted[0], self.root / "bases", self.device)
            free_memory()
            print(f"built the model {wanted[0]} in {time.perf_counter() - began:.0f} s", flush=True)
        return self._bases[wanted]

    def lengths(self, wanted: Lengths) -> Lengths:
        return SHORT if self.tiny else wanted

    @cached_property
    def card(self) -> str:
        return torch.cuda.get_device_name() if self.device == "cuda" else "CPU"

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A folder for one case, deleted afterwards."""
        with tempfile.TemporaryDirectory(dir=self.root) as found:
            yield Path(found)


Work = Callable[[Scratch, int], Report]
"""What a case does. Takes the optimizer steps of a timed training."""


def measure(case: Case, scratch: Scratch, steps: int) -> Report:
    """The training of a case: its settings, speed and memory. One step of the longest conversations is enough."""
    steps = DISCARDED + 1 if case.lengths == LONGEST else steps
    config, base, clock = case.settings(steps), scratch.base(case.shape), StepClock()
    with scratch.folder() as folder:
        data = data_of(case, config, scratch, folder)
        free_memory()
        began = time.perf_counter()
        with suppress(Enough):
            train(base, data, config, folder, 0, scratch.device, clock)
        memory = peak_memory(scratch.device)
    tokens = timed_tokens(data, config)
    return {
        "configuration": CONFIG_OF[case.shape],
        "objective": case.objective,
        "method": case.method,
        "batch_size": config.batch_size,
        "gradient_accumulation": config.gradient_accumulation,
        "timed_steps": steps - DISCARDED,
        "tokens_per_step": round(tokens / (steps - DISCARDED)),
        "tokens_per_second": round(tokens / clock.seconds, 1),
        "seconds_per_step": round(clock.seconds / (steps - DISCARDED), 3),
        "starting_seconds": round(clock.ends[0] - began, 1),
        **memory,
        "losses": clock.losses,
    }


def data_of(case: Case, config: TrainingConfig, scratch: Scratch, folder: Path) -> TrainingData:
    """Two batches, which each epoch repeats in another order."""
    count, lengths = 2 * config.batch_size, scratch.lengths(case.lengths)
    if case.objective == "likelihood":
        return examples(count, lengths)
    return preferences(count, lengths, scratch.base(case.shape), folder / "references")


def timed_tokens(data: TrainingData, config: TrainingConfig) -> int:
    """The tokens of the timed steps."""
    encode, size = Encoder(tokenizer(), config.max_tokens).encode, config.batch_size
    sides = data.sides() if isinstance(data, Preferences) else data
    count = len(sides) // len(data)
    lengths = [len(encode(side)["input_ids"]) for side in sides]
    items = [lengths[i : i + count] for i in range(0, len(lengths), count)]
    assert config.steps
    order = list(TrainingOrder([max(item) for item in items], size, config.steps, 0))
    return sum(sum(items[i]) for i in order[DISCARDED * size :] if i != FILLER)


TIMED = {
    case.name: case
    for case in (
        Case(QWEN_1_5B, "likelihood", "LoRA"),
        Case(QWEN_1_5B, "dpo", "LoRA"),
        Case(QWEN_1_5B, "likelihood", "full"),
        Case(LLAMA_8B, "likelihood", "LoRA"),
        Case(LLAMA_8B, "dpo", "LoRA"),
        Case(QWEN_1_5B, "likelihood", "full", LONGEST),
        Case(QWEN_1_5B, "likelihood", "LoRA", LONGEST),
        Case(LLAMA_8B, "likelihood", "LoRA", LONGEST),
    )
}


def resume(scratch: Scratch, steps: int) -> Report:
    """Stop and resume a training of four steps."""
    case = Case(QWEN_1_5B, "likelihood", "LoRA")
    config = case.settings(4)
    data = examples(2 * config.batch_size, scratch.lengths(USUAL))
    with scratch.folder() as folder:
        return check_resume(scratch.base(case.shape), data, config, folder, scratch.device)


def divergence(scratch: Scratch, steps: int) -> Report:
    """A training of a tiny model whose gradient overflows."""
    config = Case(QWEN_1_5B, "likelihood", "LoRA").settings(2)
    with scratch.folder() as folder:
        base = build_base(TINY, folder, scratch.device)
        return check_divergence(base, examples(config.batch_size, SHORT), config, folder, scratch.device)
