"""`steca import` of large files: seconds, MB/s and peak memory of the whole command, for JSONL and a JSON array.

    python -m benchmarks.importing --runs 2000 100000

The runs are those of the expert of the template's world, 900 of them again and again: most are further runs of a task.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from environments.template.world import World
from steca.types import Step

TASKS = 900
SETTINGS = (
    "environment.name=environments.template.world:World",
    "tasks.demonstrations=500",
    "tasks.exploration=400",
    "tasks.seen=20",
    "tasks.unseen=20",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, nargs="+", default=[2_000, 100_000])
    lines = list(_lines())
    for runs in parser.parse_args().runs:
        for array in (False, True):
            with TemporaryDirectory() as folder:
                file = Path(folder) / "runs"
                _write(file, lines, runs, array)
                seconds, peak = _imported(file)
                size = file.stat().st_size / 1e6
            shape = "array" if array else "JSONL"
            print(
                f"{runs:>9,} runs  {shape}  {size:7,.0f} MB  {seconds:6.1f} s  {size / seconds:5.1f} MB/s  {peak} MB"
            )


def _lines() -> Iterator[str]:
    for task in World().tasks("train", TASKS, 0):
        house, steps = World().environment(), list[Step]()
        first = house.reset(task, 0)
        talk = [{"from": "human", "value": first}]
        while turn := house.expert_turn(first, steps):
            result = house.step(turn.action)
            steps.append(Step("", turn.thought, turn.action, result.observation, result.valid, "expert"))
            talk.append({"from": "gpt", "value": f"Thought: {turn.thought}\nAction: {turn.action}"})
            talk.append({"from": "human", "value": result.observation})
            if result.done:
                break
        yield json.dumps({"conversations": talk})


def _write(file: Path, lines: list[str], runs: int, array: bool) -> None:
    with file.open("w") as out:
        out.write("[" if array else "")
        for number in range(runs):
            out.write(("," if array else "\n") * (number > 0) + lines[number % len(lines)])
        out.write("]" if array else "")


def _imported(file: Path) -> tuple[float, int]:
    """Seconds, and the peak memory of the process in MB."""
    sets = [word for setting in SETTINGS for word in ("--set", setting)]
    words = [sys.executable, "-m", "cli", "import", str(file), "--out", f"{file}.out", *sets]
    began = time.monotonic()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, "the import failed"
    return time.monotonic() - began, usage.ru_maxrss // 1024


if __name__ == "__main__":
    main()
