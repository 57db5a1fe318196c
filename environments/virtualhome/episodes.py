"""One task opened: its program, its goal and the home at the start, read from the package's files and checked."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from configs.json_text import parse_json
from environments.base import EnvironmentFault
from environments.virtualhome.commands import Command
from environments.virtualhome.goals import facts, goal_of, without_circles
from environments.virtualhome.likeness import Reach, like_things
from environments.virtualhome.programs import Program, parse_program
from environments.virtualhome.seeing import look, overview
from environments.virtualhome.simulator import (
    INSTALL_AGAIN,
    Home,
    execute,
    graph_file,
    holds,
    home_of,
    initial_state,
    program_file,
)
from environments.virtualhome.texts import first_observation


@dataclass(frozen=True, eq=False)
class Opened:
    """`first`: the first observation. `state`: the simulator's state at the start."""

    program: Program
    goal: Reach
    home: Home
    state: Any
    first: str


def read_files(name: str) -> tuple[bytes, bytes]:
    """The bytes of a program and of its graphs. Raises EnvironmentFault."""
    try:
        return program_file(name).read_bytes(), graph_file(name).read_bytes()
    except OSError as error:
        raise EnvironmentFault(
            f"VirtualHome's program {name}: {error.filename}: {error.strerror}; install the package again: "
            f"{INSTALL_AGAIN}"
        ) from error


def digest_of(program: bytes, graphs: bytes) -> str:
    return hashlib.sha256(program + b"\0" + graphs).hexdigest()[:16]


def open_files(program: bytes, graphs: bytes) -> Opened:
    """Raises ValueError with the reason if the files hold no task."""
    read, both = parse_program(program.decode()), parse_json(graphs)
    before, after = (without_circles(both[side]) for side in ("init_graph", "final_graph"))
    home = home_of(before)
    state = initial_state(home)
    first = first_observation(overview(home, state), look(home, state), read.instruction)
    like = like_things(before, read.description)
    return Opened(read, Reach.of(goal_of(before, after), facts(before), like), home, state, first)


@lru_cache(maxsize=128)
def opened(payload: str) -> Opened:
    """The task of a payload, as `payload_of` makes it. Raises EnvironmentFault, also for files that have changed."""
    try:
        fields = parse_json(payload)
        name, digest = str(fields["program"]), str(fields["digest"])
    except (ValueError, KeyError, TypeError) as error:
        raise EnvironmentFault(f"{payload[:80]!r} is no payload of a VirtualHome task") from error
    program, graphs = read_files(name)
    if digest_of(program, graphs) != digest:
        raise EnvironmentFault(
            f"VirtualHome's program {name} is not the one of the task (digest {digest}): install the package again: "
            f"{INSTALL_AGAIN}; if it is another version, begin with the stage demonstrate"
        )
    try:
        return open_files(program, graphs)
    except ValueError as error:
        raise EnvironmentFault(f"VirtualHome's program {name} cannot be used: {error}") from error


def payload_of(name: str, digest: str) -> str:
    return json.dumps({"program": name, "digest": digest})


def progress(task: Opened, state: Any) -> float:
    return task.goal.progress(lambda fact: holds(state, fact))


def run_to_goal(task: Opened) -> tuple[list[tuple[Command, Any]], Command | None]:
    """The program played until the goal is reached: each command with the state before it. Then the command that the
    simulator refused, if one came first."""
    played: list[tuple[Command, Any]] = []
    state = task.state
    for command in task.program.commands:
        if progress(task, state) == 1.0:
            break
        after = execute(task.home, state, command)
        if after is None:
            return played, command
        played.append((command, state))
        state = after
    return played, None
