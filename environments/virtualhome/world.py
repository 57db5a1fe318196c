"""The programs of virtualhome_eval as a world."""

from __future__ import annotations

import hashlib
import random

from environments.base import SPLITS, EnvironmentFault, Task
from environments.virtualhome import briefing
from environments.virtualhome.catalog import WHY, Entry, catalog
from environments.virtualhome.demonstrations import demonstration
from environments.virtualhome.environment import VirtualhomeEnvironment
from environments.virtualhome.episodes import opened, payload_of
from environments.virtualhome.simulator import package_folder
from environments.virtualhome.splits import split_of
from steca.action_formats import ActionFormat
from steca.types import Turn

NAME = "virtualhome"


class Virtualhome:
    """Takes no options. Needs the package virtualhome_eval: see `environments/virtualhome/simulator.py`."""

    name = NAME
    ids_cover_data = True
    version = "2"

    def __init__(self) -> None:
        """Raises EnvironmentFault if the package is missing or another version."""
        package_folder()

    def tasks(self, split: str, count: int, seed: int) -> list[Task]:
        """The first `count` of the split's tasks, in an order drawn with the seed."""
        if split not in SPLITS:
            raise EnvironmentFault(f"virtualhome has no split {split!r}; it has {', '.join(SPLITS)}")
        example = briefing.example_entry()
        chosen = [
            entry
            for entry in catalog().tasks()
            if split_of(entry.title, entry.lines) == split and entry != example
        ]
        if count > len(chosen):
            raise EnvironmentFault(
                f"{count} {split} tasks were requested, but virtualhome has {len(chosen)}: request fewer"
            )
        random.Random(f"{split} {seed}").shuffle(chosen)
        return [_task(entry, split) for entry in chosen[:count]]

    def environment(self) -> VirtualhomeEnvironment:
        return VirtualhomeEnvironment()

    def demonstration(self, task: Task) -> list[Turn]:
        """The task's program up to the goal, with composed thoughts."""
        return demonstration(opened(task.payload))

    def remarks(self) -> list[str]:
        """Which programs are no tasks, and why."""
        entries = catalog().entries
        lines = []
        for outcome, why in WHY.items():
            found = [entry for entry in entries if entry.outcome == outcome]
            if found:
                shown = "e.g. " + found[0].name if outcome == "trivial" else ", ".join(map(_named, found))
                lines.append(f"{len(found)} of {len(entries)} programs are left out: they {why}: {shown}")
        return [*lines, f"the program {briefing.example_entry().name} is the worked example, and in no split"]

    def briefing(self, task: Task, example: bool, form: ActionFormat) -> str:
        return briefing.briefing(example, form)

    def vocabulary(self) -> list[str]:
        """The kinds of things, and the names of those that are in most homes."""
        return list(catalog().names)

    def data_digest(self) -> str:
        """The digest of the vocabulary: it comes from all programs."""
        return hashlib.sha256("\n".join(self.vocabulary()).encode()).hexdigest()[:16]


def _named(entry: Entry) -> str:
    return f"{entry.name} ({entry.detail})"


def _task(entry: Entry, split: str) -> Task:
    payload = payload_of(entry.name, entry.digest)
    return Task(f"{NAME}/{entry.name}#{entry.digest}", NAME, split, entry.title, entry.instruction, payload)
