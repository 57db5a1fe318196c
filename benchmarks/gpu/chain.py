"""The whole factory on one GPU at small counts, for `benchmarks.gpu`: `steca run` as a process of its own.

The configuration is one of the two for GPUs, with generated games, the local engine and the template reflector, and few
games, rollouts and training steps. The base model has random weights, so the warm-up has to teach it everything: its
learning rate is higher, and it starts with LoRA only where all weights do not fit on one GPU. `deviation.delta` is 0.5,
so that also a policy that never wins has deviations, repairs and something to train on.

Then the same command runs again, which must find everything in the cache, and the method dpo, which shares the stages
up to the repairs. The warm-up policy, whose turns are real ones, then answers greedily as in benchmarks/gpu/playing.py.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import torch

from benchmarks.gpu.cases import CONFIG_OF, CONFIGS, Report, Scratch
from benchmarks.gpu.games import GAMES, build_game_base, game_config
from benchmarks.gpu.inputs import LLAMA_8B
from benchmarks.gpu.memory import GB, free_memory
from benchmarks.gpu.playing import Playing, agreement
from models.checkpoint import load, reference

SMALL = (
    "environment.step_cap=10",
    "tasks.demonstrations=64",
    "tasks.exploration=3",
    "tasks.explore_demonstrated=false",
    "tasks.seen=4",
    "tasks.unseen=0",
    "policy.max_turn_tokens=48",
    "warmup.steps=50",
    "warmup.learning_rate=3e-4",
    "warmup.gradient_accumulation=2",
    "rewards.rollouts=2",
    "rewards.candidates=2",
    "deviation.delta=0.5",
    "calibration.reflector=template",
    "training.steps=3",
    "evaluation.splits=[seen]",
    "execution.batch_tasks=64",
    "execution.save_steps=1000",
    "execution.processes=1",
    "execution.accelerate=null",
)
ADAPTERS = (
    "warmup.lora={rank: 16, alpha: 32}",
    "training.lora={rank: 16, alpha: 32}",
    "training.gradient_accumulation=16",
)
TINY = ("warmup.steps=3", "tasks.demonstrations=8", "tasks.exploration=1", "tasks.seen=1")
DPO = ("training.method=dpo",)


class ChainFailed(Exception):
    """`steca run` failed."""


@dataclass(slots=True)
class DeviceMemory:
    """The memory of the device in use, sampled in a thread while other processes run. Empty on a CPU."""

    samples: list[tuple[datetime, float]] = field(default_factory=list)
    _done: threading.Event = field(default_factory=threading.Event)

    def sample(self) -> None:
        """Sample until `stop`, without what is in use at the start."""
        before = self._used()
        while not self._done.wait(0.25):
            self.samples.append((datetime.now(UTC), (self._used() - before) / GB))

    def _used(self) -> int:
        free, total = torch.cuda.mem_get_info()
        return total - free

    def __enter__(self) -> DeviceMemory:
        if torch.cuda.is_available():
            threading.Thread(target=self.sample, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()

    def between(self, start: datetime, end: datetime) -> dict[str, float]:
        """The peak within a stage, and what was in use at its end, in GB."""
        found = [gb for at, gb in self.samples if start <= at <= end]
        return {"peak_gb": round(max(found), 2), "end_gb": round(found[-1], 2)} if found else {}


def small_settings(shape: str) -> tuple[str, ...]:
    """The changes of a configuration that make its run a short one on one GPU."""
    return (*SMALL, *ADAPTERS) if shape == LLAMA_8B else SMALL


def run_chain(shape: str, scratch: Scratch, steps: int) -> Report:
    """The chain, the chain from the cache, and the chain with dpo. `steps` is for other trainings."""
    base = scratch.base(shape, build_game_base)
    config = CONFIGS / f"{CONFIG_OF[shape]}.yaml"
    with ExitStack() as stack:
        root = stack.enter_context(scratch.folder())
        changes = [
            *(*GAMES, *small_settings(shape), *(TINY if scratch.tiny else ())),
            *(f"policy.base={base.path}", f"data_dir={root / 'data'}", f"execution.device={scratch.device}"),
        ]
        memory = stack.enter_context(DeviceMemory())
        report: Report = {"configuration": CONFIG_OF[shape], "run_seconds": run_factory(config, changes)}
        report |= store_rows(root / "data", memory)
        report["again_seconds"] = run_factory(config, changes)
        print(report, flush=True)  # a case takes minutes
        report["greedy"] = trained_agreement(root / "data", config, scratch)
        print(report["greedy"], flush=True)
        report["dpo_seconds"] = run_factory(config, [*changes, *DPO])
        report["dpo"] = store_rows(root / "data", memory)["stages"][
            -2:
        ]  # train and evaluate: others are shared
        return report


def run_factory(config: Path, changes: Sequence[str]) -> float:
    """Seconds of `steca run`. Raises ChainFailed."""
    options = [part for change in changes for part in ("--set", change)]
    began = time.perf_counter()
    command = [sys.executable, "-m", "cli", "run", "--config", str(config), *options]
    done = subprocess.run(command, cwd=CONFIGS.parent)
    if done.returncode:
        raise ChainFailed(f"steca run ended with status {done.returncode}: see its output above")
    return round(time.perf_counter() - began, 1)


def store_rows(data: Path, memory: DeviceMemory) -> Report:
    """What the store says of the runs: the stages with their memory, success, deviations, repairs, training sets."""
    with duckdb.connect(str(data / "trajectories.duckdb"), read_only=True) as store:

        def rows(query: str) -> list[dict[str, Any]]:
            found = store.execute(query)
            names = [column[0] for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

        stages = rows(
            "SELECT stage, c.seconds, episodes, turns, tokens, trained_tokens, started_at, ended_at "
            "FROM stage_costs c JOIN run_stages USING (run_id, round, stage) ORDER BY started_at"
        )
        for stage in stages:
            stage |= memory.between(_utc(stage.pop("started_at")), _utc(stage.pop("ended_at")))
            stage["seconds"] = round(stage["seconds"], 1)
        return {
            "stages": stages,
            "success": rows("SELECT role, split, start, n, successes FROM success"),
            "verdicts": rows("SELECT verdict, count(*) AS n FROM deviations GROUP BY ALL ORDER BY ALL"),
            "repairs": rows("SELECT kept, count(*) AS n FROM calibrations GROUP BY ALL ORDER BY ALL"),
            "examples": rows(
                "SELECT dataset, count(*) AS n FROM training_examples GROUP BY ALL ORDER BY ALL"
            ),
            "losses": rows("SELECT role, losses[1] AS first, final_loss AS last FROM checkpoints"),
        }


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def trained_agreement(data: Path, config: Path, scratch: Scratch) -> Report:
    """Greedy turns of the warm-up policy by both engines."""
    free_memory()
    with duckdb.connect(str(data / "trajectories.duckdb"), read_only=True) as store:
        found = store.execute("SELECT path FROM checkpoints WHERE role = 'warmup'").fetchone()
    assert found
    model, tokenizer = load(reference(data / found[0]), scratch.device)
    playing = Playing(model, tokenizer, game_config(config), scratch.device)
    return agreement(playing, (2, 4) if scratch.tiny else (16, 64), 4 if scratch.tiny else 8)
