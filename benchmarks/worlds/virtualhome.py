"""Every program of VirtualHome, played through our text and by the package's own executor; and random commands.

    python -m benchmarks.worlds.virtualhome [--commands 5000]

Needs the package virtualhome_eval (environments/virtualhome/simulator.py). Ends with exit code 1 if the two differ.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from typing import Any

from rich.console import Console

from benchmarks.worlds.found import Found
from environments.base import Task
from environments.virtualhome.catalog import WHY, examine
from environments.virtualhome.commands import FORMS, Command, Thing, parse_command
from environments.virtualhome.environment import VirtualhomeEnvironment
from environments.virtualhome.episodes import Opened, digest_of, opened, payload_of, read_files
from environments.virtualhome.goals import Fact, facts, without_circles
from environments.virtualhome.simulator import REFUSALS, graph_file, program_files, run, simulator_module


class Tally:
    """What came of the programs. `seconds` and `steps`: of our environment ("ours") and of the executor ("theirs")."""

    def __init__(self) -> None:
        self.counts = Counter[str]()
        self.seconds = Counter[str]()
        self.steps = Counter[str]()
        self.problems: list[str] = []

    def rate(self, side: str) -> float:
        return self.steps[side] / self.seconds[side] if self.seconds[side] else 0.0


def play_ours(task: Opened, payload: str, tally: Tally) -> tuple[set[Fact], int]:
    """The facts after all commands of a program, in text, and how many were valid."""
    environment = VirtualhomeEnvironment()
    environment.reset(Task("parity", payload=payload), 0)
    began = time.perf_counter()
    valid = sum(environment.step(command.text).valid for command in task.program.commands)
    tally.seconds["ours"] += time.perf_counter() - began
    tally.steps["ours"] += len(task.program.commands)
    return facts(environment.snapshot().state.to_dict()), valid


def play_theirs(task: Opened, tally: Tally) -> tuple[set[Fact], bool]:
    """The facts after the package's executor has run the whole script, and whether it carried out all of it."""
    scripts, execution = simulator_module("scripts"), simulator_module("execution")
    lines = [command.line for command in task.program.commands]
    script = scripts.read_script_from_list_string(lines)
    executor = execution.ScriptExecutor(task.home.graph, task.home.equivalences)
    began = time.perf_counter()
    done, state, _ = executor.execute(script, w_graph_list=False)
    tally.seconds["theirs"] += time.perf_counter() - began
    tally.steps["theirs"] += len(lines)
    return facts(state.to_dict()), bool(done)


def compare(name: str, tally: Tally) -> None:
    program, graphs = read_files(name)
    entry, task = examine(name, program, graphs)
    tally.counts[entry.outcome] += 1
    if task is None:
        tally.problems.append(f"{name}: {entry.detail}")
        return
    ours, valid = play_ours(task, payload_of(name, entry.digest), tally)
    theirs, done = play_theirs(task, tally)
    recorded = facts(without_circles(json.loads(graphs)["final_graph"]))
    tally.counts["carried out by both"] += done and valid == len(task.program.commands)
    tally.counts["same home afterwards"] += ours == theirs
    tally.counts["the recorded home afterwards"] += theirs == recorded
    if ours != theirs or done != (valid == len(task.program.commands)):
        tally.problems.append(f"{name}: {len(ours ^ theirs)} facts differ; {valid} commands valid in text")
    if theirs != recorded:
        print(f"  {name}: {len(theirs ^ recorded)} facts differ from the recorded home", file=sys.stderr)


def random_commands(count: int) -> Counter[str]:
    """What the simulator does with random commands after random programs: carried out, refused, or what it raises."""
    draw, found = random.Random(0), Counter[str]()
    files, refusals = program_files(), (*REFUSALS, simulator_module("execution").ExecutionException)
    while found.total() < count:
        name = draw.choice(files).stem
        program, graphs = read_files(name)
        task = opened(payload_of(name, digest_of(program, graphs)))
        state: Any = task.state
        for _ in range(100):
            command = _drawn(draw, task)
            if parse_command(command.text) != command:
                found["read as another command"] += 1
            try:
                after = run(task.home, state, command)
            except Exception as error:
                kind = "raised, and answered as refused:" if isinstance(error, refusals) else "NOT CAUGHT:"
                found[f"{kind} {type(error).__name__}"] += 1
                continue
            found["refused" if after is None else "carried out"] += 1
            state = after or state
    return found


def _drawn(draw: random.Random, task: Opened) -> Command:
    """A random action on things that the program names, or any others."""
    named = [thing for command in task.program.commands for thing in command.things]
    others = [Thing(name.rpartition(" ")[0].replace(" ", "_"), n) for name, n in task.home.named.items()]
    action = draw.choice(list(FORMS))
    things = [
        draw.choice(named if draw.random() < 0.7 else others) for _ in range(FORMS[action].count("THING"))
    ]
    return Command(action, tuple(things))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=5000, help="random commands")
    options, console = parser.parse_args(), Console()
    (found,) = compared(console)
    console.print(f"random commands: {dict(random_commands(options.commands))}", markup=False)
    return int(bool(found.differ))


def compared(console: Console) -> list[Found]:
    """Every program, in text and by the package's executor. Raises EnvironmentFault where the package is not there."""
    tally, programs = Tally(), program_files()
    for path in programs:
        if graph_file(path.stem).is_file():
            compare(path.stem, tally)
        else:
            tally.problems.append(f"{path.stem}: it has no graphs")
    console.print(f"{len(programs)} programs")
    for what in ("carried out by both", "same home afterwards", "the recorded home afterwards", "task", *WHY):
        console.print(f"  {what}: {tally.counts[what]}", markup=False)
    rates = f"{tally.rate('ours'):,.0f} ours, with text and progress; {tally.rate('theirs'):,.0f} theirs"
    console.print(f"  steps/s: {rates}", markup=False)
    console.print("\n".join(tally.problems) or "no difference", markup=False)
    goals = tally.counts["task"]
    exceptions = [f"{tally.counts[why]} programs {said}" for why, said in WHY.items() if tally.counts[why]]
    return [Found("virtualhome", len(programs), goals, len(programs), len(tally.problems), tuple(exceptions))]


if __name__ == "__main__":
    raise SystemExit(main())
