"""ScienceWorld beside the package's own `ScienceWorldEnv`: speed, repeatability, and lock-step equality.

    python -m benchmarks.worlds.scienceworld speed          milliseconds a step, of both, on the same actions
    python -m benchmarks.worlds.scienceworld repeat         the same actions twice: which types are answered differently
    python -m benchmarks.worlds.scienceworld parity         every answer beside that of the package
        --each 3        variations of each task type, spread over all splits (0: all; parity then takes about an hour)
        --shipped       parity with the JVM options of the package: sets have another order there
        --warm 60       speed: seconds that each side plays before it is timed, for Java's compiler
        --data FOLDER   where the solutions are kept

The actions are the simulator's solutions. Exit code 1 if `repeat` or `parity` finds a difference in the first column.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.measuring import machine
from benchmarks.worlds.found import Found
from environments.scienceworld.catalog import SIMPLIFICATION, TASK_TYPES
from environments.scienceworld.environment import ScienceWorldEnvironment, Variation
from environments.scienceworld.simulator import JVM_OPTIONS
from environments.scienceworld.splits import SPLITS, variations
from environments.scienceworld.world import ScienceWorld

Answers = list[tuple[str, float, bool]]
"""Observation, highest score so far in [0, 1], and whether the episode is over."""
console = Console(width=200)


class Play(NamedTuple):
    variation: Variation
    actions: list[str]


class Difference(NamedTuple):
    """Numbers of answers that differ: at all, also after each listing is sorted, and in score or end."""

    answers: int
    plain: int
    sorted: int
    outcome: int


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("speed", "repeat", "parity"))
    parser.add_argument("--each", type=int, default=3)
    parser.add_argument("--shipped", action="store_true")
    parser.add_argument("--warm", type=float, default=60.0)
    parser.add_argument("--data")
    options = parser.parse_args()
    world = ScienceWorld({"data": options.data} if options.data else {})
    console.print(machine())
    try:
        plays = [Play(v, world._gold.path(v).actions) for v in track(chosen(options.each), "solutions")]
        if options.what == "speed":
            return speed(world, plays, options.warm)
        if options.what == "repeat":
            return int(bool(repeat(plays, options.data)))
        found = parity(world, plays, options.shipped)
        return int(bool(found.differ))
    finally:
        world.close()


def compared(each: int, shown: Console) -> list[Found]:
    """Lock-step over so many variations of each task type (0: all). Raises EnvironmentFault without package or Java."""
    world = ScienceWorld({})
    try:
        plays = [
            Play(v, world._gold.path(v).actions) for v in track(chosen(each), "solutions", console=shown)
        ]
        return [parity(world, plays, shipped=False)]
    finally:
        world.close()


def chosen(each: int) -> list[Variation]:
    """Evenly spread over the variations of all splits of each type."""
    found = []
    for task_type in TASK_TYPES:
        numbers = sorted(number for split in SPLITS for number in variations(task_type, split))
        every = max(1, len(numbers) / each) if each else 1
        found += [Variation(task_type, numbers[int(at * every)]) for at in range(int(len(numbers) / every))]
    return found


def original(*jvm_options: str) -> Any:
    """The package's environment, with these options for its JVM."""
    from scienceworld import ScienceWorldEnv

    before = os.environ.get("JAVA_TOOL_OPTIONS")
    os.environ["JAVA_TOOL_OPTIONS"] = " ".join(("-Xmx600m", "-XX:+UseSerialGC", *jvm_options))
    try:
        return ScienceWorldEnv("", envStepLimit=10**6)
    finally:
        del os.environ["JAVA_TOOL_OPTIONS"]
        if before is not None:
            os.environ["JAVA_TOOL_OPTIONS"] = before


def start_original(env: Any, variation: Variation) -> str:
    env.load(variation.task_type, variation.number, SIMPLIFICATION)
    observation, info = env.reset()
    return f"{observation}\n\n{info['taskDesc'].removeprefix('Task Description:').strip()}"


# Speed


def speed(world: ScienceWorld, plays: Sequence[Play], warm: float) -> int:
    environment, env = world.environment(), original()

    def raw_start(variation: Variation) -> str:
        return str(env.server.load(variation.task_type, variation.number, SIMPLIFICATION, False))

    jvm, other = world._running().process.pid, env._gateway.java_process.pid
    sides = [
        ("this world", environment.start, environment.step, jvm),
        ("the package's env.step", lambda v: start_original(env, v), env.step, other),
        ("the package's server.step alone", raw_start, env.server.step, other),
    ]
    table = Table(
        "steps with", "ms a step (median over types)", "mean", "CPU ms, JVM and Python", "start, ms"
    )
    means = []
    for name, start, step, pid in sides:
        ready = time.monotonic() + warm
        while time.monotonic() < ready:
            timed(plays, start, step, pid)
        walls, cpu, starts = timed(plays, start, step, pid)
        means.append(statistics.mean(walls))
        middle = statistics.median(walls), means[-1], cpu
        table.add_row(name, *(f"{found:.2f}" for found in middle), f"{statistics.median(starts):.0f}")
    console.print(table)
    console.print(f"mean: {means[1] / means[0]:.1f} times as fast as the package's env.step")
    return 0


def timed(
    plays: Sequence[Play], start: Callable[[Variation], Any], step: Callable[[str], Any], pid: int
) -> tuple[list[float], float, list[float]]:
    """Milliseconds: a step, by play; CPU time a step, starts included; the starts."""
    walls, starts, steps, cpu = [], [], 0, cpu_seconds(pid)
    for variation, actions in plays:
        began = time.perf_counter()
        start(variation)
        started = time.perf_counter()
        for action in actions:
            step(action)
        walls.append((time.perf_counter() - started) / len(actions) * 1e3)
        starts.append((started - began) * 1e3)
        steps += len(actions)
    return walls, (cpu_seconds(pid) - cpu) / steps * 1e3, starts


def cpu_seconds(pid: int) -> float:
    """Of this process and another one."""
    import psutil

    times = psutil.Process(pid).cpu_times()
    return time.process_time() + times.user + times.system


# Repeatability


def repeat(plays: Sequence[Play], data: str | None) -> int:
    """One after the other in one JVM, and interleaved in the opposite order in another: in this world, and with the
    package's raw interfaces."""
    options = {"data": data} if data else {}
    ours = []
    for interleaved in (False, True):
        world = ScienceWorld(options)
        ours.append(play_all(world.environment, plays, interleaved))
        world.close()
    theirs = []
    for interleaved in (False, True):
        env = original()
        theirs.append(play_all(lambda found=env: Raw(found), plays, interleaved))
        env.close()
    return print_differences(plays, {"this world": differ(*ours), "the package": differ(*theirs)})


class Raw:
    """A raw interface of the package, in the form of this world's environment."""

    def __init__(self, env: Any) -> None:
        self._java = env._gateway.jvm.scienceworld.runtime.pythonapi.PythonInterface()
        self._best = 0

    def start(self, variation: Variation) -> str:
        self._best = 0
        self._java.load(variation.task_type, variation.number, SIMPLIFICATION, False)
        getattr(self._java, "taskMaker_$eq")(None)
        return f"{self._java.step('look around')}\n\n{self._java.getTaskDescription()}"

    def answer(self, action: str) -> tuple[str, float, bool]:
        observation, score = self._java.step(action), round(100 * self._java.getScore())
        self._best = max(self._best, score)
        return observation, self._best / 100, bool(self._java.getCompleted()) or score < 0


def answered(environment: Any, action: str) -> tuple[str, float, bool]:
    if isinstance(environment, ScienceWorldEnvironment):
        result = environment.step(action)
        return result.observation, result.reward, result.done
    found: tuple[str, float, bool] = environment.answer(action)
    return found


def play_all(make: Callable[[], Any], plays: Sequence[Play], interleaved: bool) -> dict[Variation, Answers]:
    found: dict[Variation, Answers] = {}
    group = 30 if interleaved else 1
    order = list(reversed(plays)) if interleaved else list(plays)
    environments = [make() for _ in range(group)]
    for at in range(0, len(order), group):
        together = list(zip(order[at : at + group], environments, strict=False))
        for play, environment in together:
            found[play.variation] = [(environment.start(play.variation), 0.0, False)]
        for step in range(max(len(play.actions) for play, _ in together)):
            for play, environment in together:
                if step < len(play.actions):
                    found[play.variation].append(answered(environment, play.actions[step]))
    return found


# Comparison


def canonical(observation: str) -> str:
    """Each run of indented lines sorted."""
    lines, out, listing = observation.split("\n"), [], []
    for line in [*lines, ""]:
        if line.startswith("\t"):
            listing.append(line)
        else:
            out += [*sorted(listing), line]
            listing = []
    return "\n".join(out[:-1])


def differ(one: dict[Variation, Answers], other: dict[Variation, Answers]) -> dict[Variation, Difference]:
    return {variation: difference(one[variation], other[variation]) for variation in one}


def difference(one: Answers, other: Answers) -> Difference:
    pairs = list(zip(one, other, strict=True))
    return Difference(
        len(pairs),
        sum(a[0] != b[0] for a, b in pairs),
        sum(canonical(a[0]) != canonical(b[0]) for a, b in pairs),
        sum(a[1:] != b[1:] for a, b in pairs),
    )


def print_differences(plays: Sequence[Play], found: dict[str, dict[Variation, Difference]]) -> int:
    """A row for each task type. The number of answers that differ in the first column."""
    kinds = ("observations", "sorted", "scores")
    table = Table("task type", "plays", "answers", *(f"{name}: {kind}" for name in found for kind in kinds))
    for task_type in [*TASK_TYPES, "all"]:
        mine = [p.variation for p in plays if task_type in ("all", p.variation.task_type)]
        rows = [[differences[v] for v in mine] for differences in found.values()]
        totals = [str(sum(d[kind] for d in row)) for row in rows for kind in (1, 2, 3)]
        table.add_row(task_type, str(len(mine)), str(sum(d.answers for d in rows[0])), *totals)
    console.print(table)
    first = next(iter(found.values()))
    return sum(max(d.plain, d.outcome) for d in first.values())


# Lock-step


def parity(world: ScienceWorld, plays: Sequence[Play], shipped: bool) -> Found:
    """Beside the package's `server.step`, and beside its `env.step`. That one asks the simulator for more after each
    step, e.g. for all valid actions, and its bees fly elsewhere from then on."""
    env = original(*(() if shipped else JVM_OPTIONS[2:]))
    environment = world.environment()
    without: dict[Variation, Difference] = {}
    whole: dict[Variation, Difference] = {}
    won = set()
    for play in track(plays, "lock-step", console=console):
        for found, theirs in ((without, Queries(env, False)), (whole, Queries(env, True))):
            here, there = zip(*lock_step(environment, theirs, play), strict=True)
            found[play.variation] = difference(list(here), list(there))
            if here[-1][1] == 1.0:
                won.add(play.variation)
    env.close()
    differ = print_differences(plays, {"server.step": without, "env.step": whole})
    answers = sum(d.answers for d in without.values())
    lost = Counter(play.variation.task_type for play in plays if play.variation not in won)
    exceptions = [f"{count} solutions of {name} do not reach 100" for name, count in lost.items()]
    return Found("scienceworld", len(plays), len(won), answers, differ, tuple(exceptions), lost.total())


class Queries:
    """The package's environment, with or without the queries after each step."""

    def __init__(self, env: Any, asked: bool) -> None:
        self._env, self._asked, self._best = env, asked, 0

    def start(self, variation: Variation) -> str:
        self._best = 0
        if self._asked:
            return start_original(self._env, variation)
        self._env.load(variation.task_type, variation.number, SIMPLIFICATION)
        self._env.server.reset()
        return f"{self._env.server.step('look around')}\n\n{self._env.get_task_description()}"

    def answer(self, action: str) -> tuple[str, float, bool]:
        if self._asked:
            observation, _, done, info = self._env.step(action)
            score = info["score"]
        else:
            observation, score = self._env.server.step(action), round(100 * self._env.server.getScore())
            done = bool(self._env.server.getCompleted()) or score < 0
        self._best = max(self._best, score)
        return observation, self._best / 100, done


def lock_step(
    environment: ScienceWorldEnvironment, theirs: Queries, play: Play
) -> Iterator[tuple[tuple[str, float, bool], tuple[str, float, bool]]]:
    yield (environment.start(play.variation), 0.0, False), (theirs.start(play.variation), 0.0, False)
    for action in play.actions:
        yield answered(environment, action), theirs.answer(action)


if __name__ == "__main__":
    sys.exit(main())
