"""How much of a server's room a stage uses: the places of a served policy that are filled until its last episode.

    python -m benchmarks.filled_places [--batches 10] [--tasks 8] [--places 64] [--latency 0.5] [--against FOLDER]

Stage explore of generated games, on a strict stand-in server that answers each request after the same time. Filled is
the share of place-seconds, from the first request to the last answer: requests x latency / (places x seconds).
`--against`: a checkout of another version, which is measured in the same run.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.checkouts import HERE, environment_of

CONFIG = """
name: filled-places
environment: {{step_cap: 30, invalid_streak: 3, options: {{receptacles: 6, objects: 4}}}}
tasks: {{demonstrations: 8, exploration: {explored}, validation: 0, seen: 1, unseen: 1}}
policy:
  engine: openai
  small: {{layers: 1, hidden_size: 32, heads: 2, kv_heads: 1, context: 1024, vocabulary: 2048}}
warmup: {{steps: 2, batch_size: 4}}
execution:
  batch_tasks: {tasks}
  device: cpu
  threads: 1
  server: {{base_urls: ["{url}"], in_flight: {places}}}
"""
WORK = """
import sys
from pathlib import Path
from configs.load import load_config
import flows.stages as stages
config = load_config(Path(sys.argv[1]), ["data_dir=" + sys.argv[2]])
for stage in (stages.demonstrate, stages.warmup, stages.explore):
    stage(config)
"""
"""What both versions understand."""
QUIET = {
    "DO_NOT_TRACK": "1",
    "OMP_NUM_THREADS": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}


@dataclass(frozen=True)
class Filled:
    """What a server saw of a stage: requests, seconds from the first request to the last answer, share of place-seconds
    filled, and most requests at a time."""

    requests: int
    seconds: float
    share: float
    most: int


def turn(request: dict[str, object], _: int) -> str:
    """A turn of a policy whose episodes end after 1 to 25 turns, by invalid actions, as the first message decides."""
    messages = request["messages"]
    assert isinstance(messages, list)
    told = hashlib.sha256(str(messages[:3]).encode()).digest()[0]
    done = len(messages) // 2 > 3 + told % 25
    return f"Thought: I look around.\nAction: {'sing a song' if done else 'look'}"


@contextmanager
def named_after_checkpoints(server: object, checkpoints: Path) -> Iterator[None]:
    """The server serves the checkpoint that the run has just made."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            if folders := sorted(
                checkpoints.glob("????????????????"), key=lambda one: one.stat().st_mtime_ns
            ):
                server.model = folders[-1].name  # type: ignore[attr-defined]

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def measured(checkout: Path, given: argparse.Namespace) -> Filled:
    """Run the stages with the code of a checkout. Ends the program if they fail, or break a rule of the API."""
    from tests.support.fake_openai.server import FakeOpenAI

    with tempfile.TemporaryDirectory() as folder:
        config, data = Path(folder, "filled.yaml"), Path(folder, "data")
        with (
            FakeOpenAI(dialect="vllm", answer=turn, latency=given.latency) as server,
            named_after_checkpoints(server, data / "checkpoints"),
        ):
            explored = given.batches * given.tasks
            settings = {"url": server.url, "places": given.places, "tasks": given.tasks}
            config.write_text(CONFIG.format(explored=explored, **settings))
            ran = subprocess.run(
                [sys.executable, "-c", WORK, str(config), str(data)],
                cwd=checkout,
                env={**environment_of(checkout), **QUIET, "PREFECT_HOME": f"{folder}/prefect"},
                capture_output=True,
                text=True,
            )
            if ran.returncode or server.refusals:
                raise SystemExit("\n".join([*server.refusals[:3], ran.stderr[-3000:]]))
            times = [record.arrived for record in server.requests]
            seconds = max(times) - min(times) + given.latency
            share = len(times) * given.latency / (given.places * seconds)
            return Filled(len(times), seconds, share, server.max_concurrency)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=10)
    parser.add_argument("--tasks", type=int, default=8, help="tasks of a batch")
    parser.add_argument("--places", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.5)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--against", type=Path)
    given = parser.parse_args()
    from benchmarks.measuring import machine

    checkouts = {"before": given.against.resolve()} if given.against else {}
    checkouts["now"] = HERE
    console = Console(width=110)
    console.print(machine())
    title = f"{given.batches} batches of {given.tasks} tasks, {given.places} places, {given.latency:g} s a request"
    out = Table("version", title=title, title_justify="left")
    for name in ("requests", "seconds", "most at a time", "places filled"):
        out.add_column(name, justify="right")
    for _ in range(given.repeats):
        for name, checkout in checkouts.items():
            one = measured(checkout, given)
            out.add_row(name, f"{one.requests:,}", f"{one.seconds:.1f}", str(one.most), f"{one.share:.1%}")
    console.print(out)


if __name__ == "__main__":
    main()
