"""Speed and memory of the trainings of the two GPU configurations, on one CUDA GPU and without a model hub.

    python -m benchmarks.gpu [--only NAME ...] [--steps 6] [--out FILE.jsonl] [--tiny]

Each case trains with `models.training.train.train`, as the stage train does, and with the settings of its configuration
(section training): batch size, one trajectory per pass, dtype, gradient checkpointing, loss, schedule. What differs:

- the models have the published sizes and random weights, the conversations random words (benchmarks/gpu_inputs.py);
- one process. configs/alfworld-llama3-8b.yaml trains all weights on four GPUs, which one GPU cannot: it gets adapters,
  those that configs/alfworld-qwen2.5-1.5b.yaml names for LoRA;
- a timed training ends after its last step, without a checkpoint. The case `resume` writes checkpoints.

Times are those of the steps after the first two. Tokens are those of the conversations, of both sides of a pair,
without padding. Memory is the peak of the whole training, in GB of 1e9 bytes: allocated to tensors, and reserved by
torch. Starting is everything before the end of the first step: digest, load, check and encode; with dpo also the
log-probabilities of the reference.

--tiny replaces the models by a tiny one and shortens the conversations: the same code in seconds, also on a CPU.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import accelerate
import peft
import torch
import transformers

from benchmarks.gpu_checks import check_divergence, check_resume
from benchmarks.gpu_inputs import (
    LLAMA_8B,
    QWEN_1_5B,
    TINY,
    Lengths,
    build_base,
    examples,
    preferences,
    tokenizer,
)
from benchmarks.gpu_memory import free_memory, peak_memory
from configs.load import load_config
from configs.training import LoraConfig, TrainingConfig
from models.checkpoint import CheckpointRef
from models.training.encoding import Encoder
from models.training.loop.ordering import FILLER, TrainingOrder
from models.training.objectives.preferences import Preferences
from models.training.train import train
from models.training.training_data import TrainingData
from steca.vocabulary import Device

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
CONFIG_OF = {QWEN_1_5B: "alfworld-qwen2.5-1.5b", LLAMA_8B: "alfworld-llama3-8b"}
ADAPTERS, ADAPTER_RATE = LoraConfig(rank=16, alpha=32), 3.0e-5
"""As a comment in configs/alfworld-qwen2.5-1.5b.yaml has them for section training."""
DISCARDED = 2
"""First steps that are not timed."""
USUAL, LONGEST, SHORT = Lengths(1000, 2000), Lengths(3900, 4000), Lengths(150, 300)
"""An episode; one that fills the 4,096 tokens of the configurations' warm-up; one for --tiny."""
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


class Workplace:
    """A scratch folder with the base models, each built when it is first needed, and the device."""

    def __init__(self, scratch: Path, device: Device, tiny: bool) -> None:
        self.scratch, self.device, self._tiny = scratch, device, tiny
        self._bases: dict[str, CheckpointRef] = {}

    def base(self, shape: str) -> CheckpointRef:
        wanted = TINY if self._tiny else shape
        if wanted not in self._bases:
            began = time.perf_counter()
            self._bases[wanted] = build_base(wanted, self.scratch / "bases", self.device)
            free_memory()
            say(f"built the model {wanted} in {time.perf_counter() - began:.0f} s")
        return self._bases[wanted]

    def lengths(self, wanted: Lengths) -> Lengths:
        return SHORT if self._tiny else wanted

    @cached_property
    def card(self) -> str:
        return torch.cuda.get_device_name() if self.device == "cuda" else "CPU"

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A folder for one case, deleted afterwards."""
        with tempfile.TemporaryDirectory(dir=self.scratch) as found:
            yield Path(found)


def measure(case: Case, place: Workplace, steps: int) -> Report:
    """The training of a case: its settings, speed and memory. One step of the longest conversations is enough."""
    steps = DISCARDED + 1 if case.lengths == LONGEST else steps
    config, base, clock = case.settings(steps), place.base(case.shape), StepClock()
    with place.folder() as folder:
        data = data_of(case, config, place, folder)
        free_memory()
        began = time.perf_counter()
        with suppress(Enough):
            train(base, data, config, folder, 0, place.device, clock)
        memory = peak_memory(place.device)
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


def data_of(case: Case, config: TrainingConfig, place: Workplace, folder: Path) -> TrainingData:
    """Two batches, which each epoch repeats in another order."""
    count, lengths = 2 * config.batch_size, place.lengths(case.lengths)
    if case.objective == "likelihood":
        return examples(count, lengths)
    return preferences(count, lengths, place.base(case.shape), folder / "references")


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


def resume(place: Workplace, steps: int) -> Report:
    """Stop and resume a training of four steps."""
    case = Case(QWEN_1_5B, "likelihood", "LoRA")
    config = case.settings(4)
    data = examples(2 * config.batch_size, place.lengths(USUAL))
    with place.folder() as folder:
        return check_resume(place.base(case.shape), data, config, folder, place.device)


def divergence(place: Workplace, steps: int) -> Report:
    """A training of a tiny model whose gradient overflows."""
    config = Case(QWEN_1_5B, "likelihood", "LoRA").settings(2)
    with place.folder() as folder:
        base = build_base(TINY, folder, place.device)
        return check_divergence(base, examples(config.batch_size, SHORT), config, folder, place.device)


def plan(only: Sequence[str]) -> dict[str, Callable[[Workplace, int], Report]]:
    """The cases whose names contain one of `only` (none: all), the most important first."""
    timed = {
        name: lambda place, steps, case=case: measure(case, place, steps) for name, case in TIMED.items()
    }
    first = dict(list(timed.items())[:2])
    every = {**first, "resume": resume, "divergence": divergence, **timed}
    return {name: work for name, work in every.items() if not only or any(part in name for part in only)}


def row(name: str, report: Report) -> str:
    """A line of the table, or what a check found."""
    if "tokens_per_second" not in report:
        return "\n".join([name, *(f"    {what}: {found}" for what, found in report.items())])
    memory = "not measured"
    if "allocated_gb" in report:
        memory = (
            f"{report['allocated_gb']:.1f} / {report['reserved_gb']:.1f} GB, {report['share_of_card']:.0%}"
        )
    return (
        f"{name:<30}{report['configuration']:<23}{report['objective']:<12}{report['method']:<6}"
        f"{report['tokens_per_second']:>9,.0f}{report['seconds_per_step']:>9.2f}"
        f"{report['starting_seconds']:>10.1f}   {memory}"
    )


HEADINGS = (
    f"{'case':<30}{'configuration':<23}{'objective':<12}{'method':<6}{'tokens/s':>9}{'s a step':>9}"
    f"{'start, s':>10}   peak allocated / reserved, reserved share of the card"
)


def say(text: str) -> None:
    print(text, flush=True)


def run(name: str, work: Callable[[Workplace, int], Report], place: Workplace, steps: int) -> Report:
    """What a case found; its error if it failed."""
    began = time.perf_counter()
    try:
        report = work(place, steps)
        say(row(name, report))
    except Exception as error:  # the other cases are to run
        report = {"error": f"{type(error).__name__}: {error}"}
        say(f"{name} FAILED: {report['error']}\n{traceback.format_exc()}")
    free_memory()
    seconds = round(time.perf_counter() - began, 1)
    return {"case": name, **report, "seconds_of_case": seconds}


def versions(place: Workplace) -> Report:
    found = {module.__name__: module.__version__ for module in (torch, transformers, peft, accelerate)}
    return {"device": place.card, **found}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speed and memory of the GPU configurations' trainings.")
    parser.add_argument("--only", nargs="+", default=[], help="parts of the names of the cases to run")
    parser.add_argument("--steps", type=int, default=6, help="optimizer steps of a timed training")
    parser.add_argument("--out", type=Path, help="a file that gets one line of JSON per case")
    parser.add_argument("--tiny", action="store_true", help="a tiny model; runs on a CPU too")
    given = parser.parse_args()
    if given.steps <= DISCARDED:
        parser.error(f"--steps must be more than {DISCARDED}: the first {DISCARDED} are not timed")
    if not plan(given.only):
        parser.error(f"--only: no such case; there are {', '.join(plan([]))}")
    if not given.tiny and not torch.cuda.is_available():
        parser.error("there is no CUDA device; --tiny runs on a CPU")
    return given


def main() -> None:
    given = options()
    with tempfile.TemporaryDirectory(prefix="steca-gpu-") as scratch:
        device: Device = "cuda" if torch.cuda.is_available() else "cpu"
        place = Workplace(Path(scratch), device, given.tiny)
        say(json.dumps(versions(place)))
        say(HEADINGS)
        for name, work in plan(given.only).items():
            report = {**run(name, work, place, given.steps), **versions(place), "tiny": given.tiny}
            if given.out:
                with given.out.open("a") as lines:
                    lines.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
