"""Steps a second of a world played directly, and through an OpenEnv server on this machine.

    python -m benchmarks.worlds.openenv [--world alfworld-generated] [--tasks 10] [--sessions 1 4 16]

The server is a process of its own (`steca world serve`). Each session is played by a thread of this process: expert
runs, with one inadmissible action in ten, resets included.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks.environment import Run, expert_run, play
from environments.base import Environment
from environments.openenv.world import OpenEnv
from environments.registry import make_world

SECONDS = 5.0


def rate(make: Callable[[], Environment], runs: Sequence[Run], sessions: int) -> float:
    """Steps a second of all sessions together."""
    until = time.perf_counter() + SECONDS

    def played(environment: Environment) -> int:
        steps = 0
        while time.perf_counter() < until:
            steps += play(environment, list(runs))
        return steps

    with ThreadPoolExecutor(sessions) as threads:
        began = time.perf_counter()
        steps = sum(threads.map(played, [make() for _ in range(sessions)]))
        return steps / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--world", default="alfworld-generated")
    parser.add_argument("--tasks", type=int, default=10)
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 4, 16])
    options = parser.parse_args()
    own = make_world(options.world, {})
    runs = [expert_run(own, task) for task in own.tasks("train", options.tasks, 0)]
    print(f"direct: {rate(own.environment, runs, 1):,.0f} steps/s")
    serve = ["world", "serve", options.world, "--port", "0", "--tasks", str(options.tasks)]
    with subprocess.Popen([sys.executable, "-m", "cli", *serve], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout, "it is a pipe"
            found = re.search(r"at (http://[^,]*),", server.stdout.readline())
            if not found:
                raise SystemExit("the server has not started")
            world = OpenEnv({"url": found[1]})
            tasks = world.tasks("train", options.tasks, 0)
            theirs = [(task, runs[json.loads(task.payload)["index"]][1]) for task in tasks]
            for sessions in options.sessions:
                reached = rate(world.environment, theirs, sessions)
                print(f"through a server, sessions: {sessions}: {reached:,.0f} steps/s")
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
