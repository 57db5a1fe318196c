"""The speed of the quick start's rollouts: the policy with its key-value cache against plain `generate`.

    python -m benchmarks.generation [--checkpoint FOLDER] [--tasks 50] [--repeats 3]

Runs the rewards stage of one batch of the quick start: N sampled rollouts after every scored turn of explored games,
with the warm-up policy (trained first if no checkpoint is given). Both policies play through `rollouts.play`,
alternating in one process on one thread. Sampled episodes differ between them, so turns per second are compared; one
greedy episode after each of the same turns must be equal. The last table breaks the wall time down: each row excludes
the other rows.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.breakdown import breakdown
from benchmarks.measuring import warmed_up
from configs.load import load_config
from configs.schema import FactoryConfig
from environments.complete import CompleteWorld
from environments.registry import open_world
from models.checkpoint import CheckpointRef, load, reference
from models.local.transformers_policy import TransformersPolicy
from models.policy import Generation, History, Policy, Sampling
from rollouts.comparisons import comparisons_of
from rollouts.play import EpisodeSettings, Start, play
from rollouts.stages.demonstrate import demonstrate
from rollouts.stages.explore import explore
from rollouts.stages.score import score
from steca.types import Trajectory
from storage.records import Record, RolloutRecord

BATCHES = (16, 32, 64, 128)
PUBLISHED = ["rewards.mode=fixed", "rewards.rollouts=5", "rewards.candidates=1"]
"""N rollouts after every turn, as published, so that both policies do the same work."""


class PlainGenerate:
    """The baseline: every turn processes the whole history, in left-padded batches sorted by length."""

    digest = "generate"

    def __init__(self, model: Any, tokenizer: Any, batch: int) -> None:
        self._model, self._tokenizer, self._batch = model, tokenizer, batch
        self._tokenizer.padding_side = "left"

    @classmethod
    def from_checkpoint(cls, ref: CheckpointRef, batch: int) -> PlainGenerate:
        """Load a checkpoint on the CPU."""
        return cls(*load(ref), batch)

    def act(self, histories: Sequence[History], seeds: Sequence[int], sampling: Sampling) -> list[Generation]:
        template: Any = self._tokenizer.apply_chat_template
        texts = template([list(h) for h in histories], tokenize=False, add_generation_prompt=True)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        answers: dict[int, Generation] = {}
        for first in range(0, len(order), self._batch):
            part = order[first : first + self._batch]
            answers |= zip(part, self._write([texts[i] for i in part], sampling), strict=True)
        return [answers[i] for i in range(len(histories))]

    def _write(self, texts: list[str], sampling: Sampling) -> list[Generation]:
        inputs = self._tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        inputs = inputs.to(self._model.device)
        how = {"do_sample": False} if sampling.temperature == 0 else {"do_sample": True, "top_k": 0}
        model: Any = self._model
        out = model.generate(**inputs, **how, max_new_tokens=sampling.max_tokens)
        turns = self._tokenizer.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return [Generation(turn, 0, "stop") for turn in turns]


@dataclass(frozen=True, slots=True)
class Workload:
    """A batch of explored games, ready for the rewards stage."""

    world: CompleteWorld
    config: FactoryConfig
    records: list[Record]

    def rewards(self, policy: Policy) -> tuple[int, float]:
        """Run the rewards stage: generated turns, and seconds."""
        began = time.perf_counter()
        rows = score(self.world, policy, self.records, self.config)
        seconds = time.perf_counter() - began
        return sum(row.n_steps for row in rows if isinstance(row, RolloutRecord)), seconds

    def greedy(self, policy: Policy) -> tuple[int, float, list[Trajectory]]:
        """One greedy episode after each of the same turns: turns, seconds and the episodes."""
        sampling = Sampling(max_tokens=self.config.policy.max_turn_tokens)
        began = time.perf_counter()
        played = play(self.world, policy, self._starts(), sampling, EpisodeSettings(self.config.environment))
        seconds = time.perf_counter() - began
        runs = [run.trajectory for run in played]
        return sum(len(run.steps) - run.prefix for run in runs), seconds, runs

    def _starts(self) -> list[Start]:
        """One after each scored turn."""
        tasks = comparisons_of(self.world, self.records, self.config, "")
        points = [point for task in tasks for point in task.points.values()]
        return [point.start(0) for point in points if not point.ended]


def workload(world: CompleteWorld, config: FactoryConfig, ref: CheckpointRef, tasks: int) -> Workload:
    """The games that the quick start explores after the demonstrated ones, demonstrated and explored."""
    first = config.tasks.demonstrations
    games = world.tasks("train", first + tasks, config.seed)[first:]
    records = demonstrate(world, games, config)
    records += explore(world, TransformersPolicy.from_checkpoint(ref, "cpu"), records, config)
    return Workload(world, config, records)


def best_batch(load: Workload, ref: CheckpointRef) -> int:
    """The batch size at which plain `generate` is fastest."""
    rates = dict.fromkeys(BATCHES, 0.0)
    for batch in BATCHES * 2:  # the better of two runs, in case one was disturbed
        turns, seconds = load.rewards(PlainGenerate.from_checkpoint(ref, batch))
        rates[batch] = max(rates[batch], turns / seconds)
    print("plain generate, turns/s by batch:", ", ".join(f"{b}: {rate:.0f}" for b, rate in rates.items()))
    return max(rates, key=rates.__getitem__)


def sampled(load: Workload, ref: CheckpointRef, batch: int, repeats: int) -> Table:
    """The rewards stage with both policies, alternating; a fresh policy each time, so every cache starts empty."""
    rates: list[tuple[float, float]] = []
    for _ in range(repeats):
        plain, plain_seconds = load.rewards(PlainGenerate.from_checkpoint(ref, batch))
        kept, kept_seconds = load.rewards(TransformersPolicy.from_checkpoint(ref, "cpu"))
        rates.append((plain / plain_seconds, kept / kept_seconds))
    table = Table("", "plain generate, turns/s", "KV cache, turns/s", "ratio", title=f"{kept} sampled turns")
    for number, (slow, fast) in enumerate(rates):
        table.add_row(f"repeat {number + 1}", f"{slow:.0f}", f"{fast:.0f}", f"{fast / slow:.2f}")
    slow, fast, ratio = (statistics.median(c) for c in zip(*((s, f, f / s) for s, f in rates), strict=True))
    table.add_row("median", f"{slow:.0f}", f"{fast:.0f}", f"{ratio:.2f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, help="a policy of the quick start (default: train one)")
    parser.add_argument("--tasks", type=int, default=50, help="explored games (the quick start's batch: 50)")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = load_config("configs/quickstart.yaml", PUBLISHED)
    world = open_world(config.environment)
    with tempfile.TemporaryDirectory() as scratch:
        given = options.checkpoint
        ref = reference(given) if given else warmed_up(world, config, Path(scratch))
        batch = best_batch(workload(world, config, ref, max(1, options.tasks // 3)), ref)
        load, console = workload(world, config, ref, options.tasks), Console()
        console.print(sampled(load, ref, batch, options.repeats))
        turns, slow, expected = load.greedy(PlainGenerate.from_checkpoint(ref, batch))
        _, fast, runs = load.greedy(TransformersPolicy.from_checkpoint(ref, "cpu"))
        same = sum(_texts(a) == _texts(b) for a, b in zip(expected, runs, strict=True))
        print(f"greedy: {same} of {len(runs)} episodes equal, {turns} turns, ratio {slow / fast:.2f}")
        console.print(breakdown(TransformersPolicy.from_checkpoint(ref, "cpu"), load.rewards))


def _texts(run: Trajectory) -> list[str]:
    return [step.text for step in run.steps]


if __name__ == "__main__":
    main()
