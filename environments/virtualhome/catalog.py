"""Which programs are tasks. Every program is played once; what was found is kept in a file of the user's cache folder,
named by the digest of the package's files, so that listing tasks plays nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from environments.base import EnvironmentFault
from environments.cached_files import cache_folder, read_json, write_json
from environments.virtualhome.episodes import Opened, digest_of, open_files, progress, read_files, run_to_goal
from environments.virtualhome.simulator import execute, files_digest, program_files

FORMAT = 2
"""Raised with every change of what is found or how it is kept."""
Outcome = Literal["task", "trivial", "refused", "missed", "unreadable"]
COMMON = 0.1
"""Share of the homes that a name must be in to be a word of the vocabulary: most numbers from 1000 on are in few."""
WHY: dict[Outcome, str] = {
    "trivial": "change nothing but the agent, so that their goal holds at the start",
    "refused": "have a command that the simulator refuses before the goal is reached",
    "missed": "are carried out and do not reach their goal",
    "unreadable": "cannot be read",
}
"""What is said of programs that are left out."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A program. `lines`: its commands in one spelling. `length`: commands up to the goal. `detail`: of one that is
    left out, e.g. the refused command."""

    name: str
    digest: str
    outcome: Outcome
    title: str = ""
    instruction: str = ""
    lines: str = ""
    length: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Catalog:
    """`names`: of the things in a share COMMON of the homes or more, and of all kinds of things, sorted."""

    entries: tuple[Entry, ...]
    names: tuple[str, ...]

    def tasks(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.outcome == "task"]


@cache
def catalog() -> Catalog:
    """The catalog of the installed package; made the first time (about a minute). Raises EnvironmentFault."""
    path = cache_folder() / f"virtualhome-{FORMAT}-{files_digest()}.json"
    if kept := _kept(path):
        return kept
    made = make_catalog(path.stem for path in program_files())
    content = {"entries": [asdict(entry) for entry in made.entries], "names": made.names}
    write_json(path, content, "XDG_CACHE_HOME")
    return made


def _kept(path: Path) -> Catalog | None:
    try:
        kept = read_json(path)
        return kept and Catalog(tuple(Entry(**entry) for entry in kept["entries"]), tuple(kept["names"]))
    except (KeyError, TypeError) as error:
        raise EnvironmentFault(
            f"{path} holds something else ({error}): delete it, and it is made again"
        ) from error


def make_catalog(programs: Iterable[str]) -> Catalog:
    """Play the programs with these names."""
    entries, named, homes = list[Entry](), Counter[str](), 0
    for name in programs:
        entry, task = examine(name, *read_files(name))
        entries.append(entry)
        if task:
            named.update(task.home.named.keys())
            homes += 1
    kinds = {name.rpartition(" ")[0] for name in named}
    common = {name for name, count in named.items() if count >= COMMON * homes}
    return Catalog(tuple(entries), tuple(sorted(kinds | common)))


def examine(name: str, program: bytes, graphs: bytes) -> tuple[Entry, Opened | None]:
    """What becomes of a program, and the opened task if it can be read."""
    digest = digest_of(program, graphs)
    try:
        task = open_files(program, graphs)
    except (ValueError, KeyError) as error:
        return Entry(name, digest, "unreadable", detail=str(error)), None
    outcome, length, detail = _played(task)
    about = task.program
    return Entry(name, digest, outcome, about.title, about.instruction, about.lines, length, detail), task


def _played(task: Opened) -> tuple[Outcome, int, str]:
    """Outcome, commands up to the goal, detail."""
    if progress(task, task.state) == 1.0:
        return "trivial", 0, ""
    played, refused = run_to_goal(task)
    if refused:
        return "refused", len(played), f"{refused.text!r}, command {len(played) + 1}"
    last, before = played[-1]
    after = execute(task.home, before, last)
    reached = progress(task, after)
    return (
        ("task" if reached == 1.0 else "missed"),
        len(played),
        f"{reached:.2f} of the goal" if reached < 1 else "",
    )
