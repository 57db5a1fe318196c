"""How the stages scale with the number of tasks: time of each, and the process's peak memory.

    python -m benchmarks.growth --tasks 100 [--checkpoint FOLDER]

One process measures one number of tasks and prints a line of JSON; `benchmarks.rollouts` starts one for each number and
prints a table. `resident` is the process's memory in MB after each batch, `in_use` what the C library has handed out:
the rest it has reserved, or others, such as Arrow, have taken by themselves. As in the flows, tasks are processed in
batches: each stage reads its batch from shards and writes one.
Without a checkpoint a scripted policy plays, so that only the pipeline around the model is measured.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from configs.load import load_config
from configs.schema import FactoryConfig
from environments.base import Task
from environments.registry import open_world
from flows.work.planning import in_batches
from models.policy import Generation, History, Policy, Sampling
from rollouts.rows import demonstrations
from rollouts.stages.decide import decide
from rollouts.stages.demonstrate import demonstrate
from rollouts.stages.explore import explore
from rollouts.stages.score import score
from storage.records import Record, RolloutRecord
from storage.rollout_pool import RolloutPool
from storage.shards import BatchRef, ShardStore

QUICKSTART = Path("configs/quickstart.yaml")
SEQUENTIAL = ("rewards.candidates=null", "rewards.mode=sequential", "deviation.preset=sequential")
STATUS = Path("/proc/self/status")
LOST = "I do not know.\nAction: nothing"


class Scripted:
    """Writes the expert's turns in order, with random detours; now and then it is lost for good. It holds the tasks
    of one batch only, so its memory does not grow with the number of tasks."""

    digest = "0" * 64

    def __init__(self, records: Sequence[Record]) -> None:
        self._scripts = {
            demo.expert.trajectory.first_observation: [step.text for step in demo.expert.trajectory.steps]
            for demo in demonstrations(records)
        }

    def act(self, histories: Sequence[History], seeds: Sequence[int], sampling: Sampling) -> list[Generation]:
        return [
            Generation(self._turn(history, seed if sampling.temperature else 0), 20, "stop")
            for history, seed in zip(histories, seeds, strict=True)
        ]

    def _turn(self, history: History, seed: int) -> str:
        script, said = self._scripts[history[0]["content"]], [m["content"] for m in history[1::2]]
        if LOST in said:
            return LOST
        at = sum(text in script for text in said)
        chance = random.Random(f"{len(said)} {at} {seed} {said[-1:]}").random()
        if chance < 0.05 or at >= len(script):
            return LOST
        return "Thought: Where am I?\nAction: look" if chance < 0.15 else script[at]


class Batches:
    """Runs the stages on one batch after another, through shards, and adds up the CPU seconds of each stage."""

    def __init__(self, root: Path, config: FactoryConfig, policy: Policy | None) -> None:
        self.config, self.policy = config, policy
        self.world = open_world(config.environment)
        self.shards, self.root = ShardStore(root), root
        self.seconds = dict.fromkeys(("demonstrate", "explore", "score", "decide"), 0.0)
        self.rollouts = 0

    def run(self, tasks: Sequence[Task], number: int) -> None:
        config, world = self.config, self.world
        played = self._stage("demonstrate", number, [], lambda _: demonstrate(world, tasks, config))
        policy = self.policy or Scripted(self.shards.read_batch(played))
        explored = self._stage("explore", number, [played], lambda rows: explore(world, policy, rows, config))
        pool = RolloutPool(self.root, policy.digest)
        scored = self._stage(
            "score",
            number,
            [played, explored],
            lambda rows: score(world, policy, rows, config, pool=pool),
        )
        self.rollouts += scored.rows.get(RolloutRecord.table, 0)
        self._stage(
            "decide",
            number,
            [played, explored, scored],
            lambda rows: decide(rows, config.deviation, config.rewards),
        )

    def _stage(
        self,
        name: str,
        number: int,
        upstream: Sequence[BatchRef],
        work: Callable[[list[Record]], Sequence[Record]],
    ) -> BatchRef:
        began = time.process_time()
        records = [record for ref in upstream for record in self.shards.read_batch(ref)]
        ref = self.shards.write_batch(f"{name}-growth", f"{name}-{number}", work(records))
        self.seconds[name] += time.process_time() - began
        return ref


def grow(config: FactoryConfig, count: int, checkpoint: Path | None) -> dict[str, Any]:
    """Measure `count` tasks in this process: total seconds, CPU seconds by stage, rollouts, and peak memory."""
    policy: Policy | None = None
    if checkpoint:
        import torch

        from models.checkpoint_ref import reference
        from models.local.transformers_policy import TransformersPolicy

        torch.set_num_threads(1)
        policy = TransformersPolicy.from_checkpoint(reference(checkpoint), "cpu")
    with tempfile.TemporaryDirectory() as folder:
        batches = Batches(Path(folder), config, policy)
        first = config.tasks.demonstrations
        tasks = batches.world.tasks("train", first + count, config.seed)[first:]
        before, began = peak_megabytes(), time.perf_counter()
        resident, in_use = list[float](), list[float]()
        for number, part in enumerate(in_batches(tasks, config.execution.batch_tasks)):
            batches.run(part, number)
            resident.append(megabytes("VmRSS"))
            in_use.append(allocated_megabytes())
        return {
            "tasks": count,
            "seconds": time.perf_counter() - began,
            "cpu": batches.seconds,
            "rollouts": batches.rollouts,
            "before": before,
            "peak": peak_megabytes(),
            "resident": resident,
            "in_use": in_use,
        }


def peak_megabytes() -> float:
    """The peak memory of this process, in MB."""
    if STATUS.exists():  # Linux's ru_maxrss also counts what the parent held before it started us
        return megabytes("VmHWM")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def megabytes(name: str) -> float:
    """A line of Linux's status of this process, in MB; 0 elsewhere."""
    lines = STATUS.read_text().splitlines() if STATUS.exists() else []
    return next(
        (round(int(line.split()[1]) / 2**10, 1) for line in lines if line.startswith(f"{name}:")), 0.0
    )


MALLINFO = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "used", "free", "keepcost")


class MallInfo(ctypes.Structure):
    """What glibc's mallinfo2 returns: bytes by `mmap` (hblkhd), used and free bytes of the main heap, and more."""

    _fields_ = [(name, ctypes.c_size_t) for name in MALLINFO]


def allocated_megabytes() -> float:
    """What glibc has handed out in its main heap and by mmap, in MB; 0 with another C library."""
    try:
        ask = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return 0.0
    ask.restype = MallInfo
    info = ask()
    return round((info.used + info.hblkhd) / 2**20, 1)


def in_own_process(count: int, checkpoint: Path | None) -> dict[str, Any]:
    """`grow` in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.growth", "--tasks", str(count)]
    command += ["--checkpoint", str(checkpoint)] if checkpoint else []
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--checkpoint", type=Path, help="a policy's folder (default: a scripted policy)")
    options = parser.parse_args()
    print(json.dumps(grow(load_config(QUICKSTART, list(SEQUENTIAL)), options.tasks, options.checkpoint)))


if __name__ == "__main__":
    main()
