"""Speed and memory of the stages of the two GPU configurations, on one CUDA GPU and without a model hub.

    python -m benchmarks.gpu [--only NAME ...] [--steps 6] [--out FILE.jsonl] [--tiny]

Most cases train. `SIZE-playing` lets a policy play (benchmarks/gpu/playing.py), `SIZE-chain` runs the whole factory at
small counts (benchmarks/gpu/chain.py).

Each training case trains with `models.training.train.train`, as the stage train does, and with the settings of its
configuration (section training): batch size, one trajectory per pass, dtype, gradient checkpointing, loss, schedule.
What differs:

- the models have the published sizes and random weights, the conversations random words (benchmarks/gpu/inputs.py);
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
from pathlib import Path

import accelerate
import peft
import torch
import transformers

from benchmarks.gpu.cases import DISCARDED, Report, Scratch, Work
from benchmarks.gpu.memory import free_memory
from benchmarks.gpu.plan import plan
from steca.vocabulary import Device


def row(name: str, report: Report) -> str:
    """A line of the table, or what a check found."""
    if "tokens_per_second" not in report:
        return "\n".join(
            [name, *(f"    {line}" for what, found in report.items() for line in _lines(what, found))]
        )
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


def _lines(what: str, found: object) -> list[str]:
    """What a check found; a list has a line for each of its entries."""
    return [f"{what}: {one}" for one in (found if isinstance(found, list) else [found])]


HEADINGS = (
    f"{'case':<30}{'configuration':<23}{'objective':<12}{'method':<6}{'tokens/s':>9}{'s a step':>9}"
    f"{'start, s':>10}   peak allocated / reserved, reserved share of the card"
)


def say(text: str) -> None:
    print(text, flush=True)


def run(name: str, work: Work, scratch: Scratch, steps: int) -> Report:
    """What a case found; its error if it failed."""
    began = time.perf_counter()
    try:
        report = work(scratch, steps)
        say(row(name, report))
    except Exception as error:  # the other cases are to run
        report = {"error": f"{type(error).__name__}: {error}"}
        say(f"{name} FAILED: {report['error']}\n{traceback.format_exc()}")
    free_memory()
    seconds = round(time.perf_counter() - began, 1)
    return {"case": name, **report, "seconds_of_case": seconds}


def versions(scratch: Scratch) -> Report:
    found = {module.__name__: module.__version__ for module in (torch, transformers, peft, accelerate)}
    return {"device": scratch.card, **found}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speed and memory of the GPU configurations.")
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
    with tempfile.TemporaryDirectory(prefix="steca-gpu-") as root:
        device: Device = "cuda" if torch.cuda.is_available() else "cpu"
        scratch = Scratch(Path(root), device, given.tiny)
        say(json.dumps(versions(scratch)))
        say(HEADINGS)
        for name, work in plan(given.only).items():
            report = {**run(name, work, scratch, given.steps), **versions(scratch), "tiny": given.tiny}
            if given.out:
                with given.out.open("a") as lines:
                    lines.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
