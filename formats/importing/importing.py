"""Runs from files, matched to the tasks of a configuration, played in its world, and written as demonstrations.

A run is kept if it belongs to a training task, is answered as recorded, reaches the goal, and is the first such run of
its task. Everything else is set aside with its reason. Only the tasks are held in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from environments.complete import CompleteWorld
from environments.recorded.forms import NotARun
from environments.recorded.recording import Recording
from formats.importing.dialects import recording_in
from formats.importing.files import raw_rows
from formats.importing.matching import Matcher, Place
from formats.importing.playing import first_that_wins
from formats.importing.rows import Raw
from formats.importing.shapes import as_recorded, runs_of
from formats.importing.training_marks import has_values, refuse_other_kinds, refuse_untrained
from formats.importing.verdicts import SetAside
from formats.importing.written import WrittenRuns, row_of_run
from rollouts.play import EpisodeSettings, PlayedEpisode


@dataclass
class Imported:
    """What became of the runs. `examples`: of each kind that was set aside, where the first one was and why. `parts`:
    kept runs by part of the run. `with_values`: kept runs whose turns have rewards or verdicts, which are not used."""

    shapes: Counter[str] = field(default_factory=Counter)
    set_aside: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    parts: Counter[str] = field(default_factory=Counter)
    matched_by: Counter[str] = field(default_factory=Counter)
    with_values: int = 0
    turns: int = 0

    @property
    def kept(self) -> int:
        return self.parts.total()

    @property
    def read(self) -> int:
        return self.kept + self.set_aside.total()


Seen = Callable[[Raw, Imported], None]
"""Told after each run, with what became of the runs so far."""


def import_runs(
    files: Sequence[Path],
    world: CompleteWorld,
    matcher: Matcher,
    settings: EpisodeSettings,
    written: WrittenRuns,
    shape: str = "",
    seen: Seen = lambda raw, so_far: None,
) -> Imported:
    """Import the runs of all files. `shape`: only runs of this shape. Raises EnvironmentFault for a file that cannot be
    read, and for a world that loses one episode after another."""
    found, used = Imported(), dict[str, _Used]()
    for raw, row in runs_of(chain.from_iterable(raw_rows(path) for path in files)):
        try:
            place, episode, how, run = _one(row, raw, world, matcher, settings, found, used, shape)
        except SetAside as why:
            found.set_aside[why.kind] += 1
            found.examples.setdefault(why.kind, f"{_where(raw, files)}: {why}")
            written.set_aside(raw, why.kind, str(why))
        else:
            used[place.task.task_id] = _Used(_where(raw, files), hash((run.turns, run.answers)))
            found.parts[place.part] += 1
            found.matched_by[how] += 1
            found.turns += len(episode.trajectory.steps)
            written.keep(
                row_of_run(place, episode, {"file": raw.file.name, "line": raw.line, "found_by": how})
            )
        seen(raw, found)
    return found


def _one(
    row: Mapping[str, Any] | NotARun,
    raw: Raw,
    world: CompleteWorld,
    matcher: Matcher,
    settings: EpisodeSettings,
    found: Imported,
    used: Mapping[str, _Used],
    shape: str,
) -> tuple[Place, PlayedEpisode, str, Recording]:
    """The task of a run, the run as played, how the task was found, and the run as recorded. Raises SetAside."""
    if isinstance(row, NotARun):
        raise SetAside("not read", str(row))
    try:
        kind, row = as_recorded(row, shape)
        found.shapes[kind] += 1
    except NotARun as problem:
        raise SetAside("no run", str(problem)) from None
    try:
        refuse_other_kinds(row)
    except NotARun as problem:
        raise SetAside("not expert", str(problem)) from None
    try:
        identity, run = recording_in(row, raw.line, world.form)
    except NotARun as problem:
        raise SetAside("no run", str(problem)) from None
    try:
        refuse_untrained(row, len(run.turns))
    except NotARun as problem:
        raise SetAside("not trained", str(problem)) from None
    try:
        places, how = matcher.find(identity, run)
    except NotARun as problem:
        raise SetAside("no task", str(problem)) from None
    digest = hash((run.turns, run.answers))
    known = [
        place for place in places if place.task.task_id in used and used[place.task.task_id].digest == digest
    ]
    if known or len(places) == 1:
        _refuse_unusable([*known, *places][0], used)
    place, episode = first_that_wins(world, _free_first(places, used), run, settings)
    _refuse_unusable(place, used)
    found.with_values += has_values(row)
    return place, episode, how, run


@dataclass(frozen=True, slots=True)
class _Used:
    """The run that a task has: where it comes from, and a digest of what was recorded."""

    where: str
    digest: int


def _free_first(places: Iterable[Place], used: Mapping[str, _Used]) -> list[Place]:
    """Training tasks without a run, then those with one, then held-out ones: the first that a run wins is its own."""
    return sorted(places, key=lambda place: (place.held_out, place.task.task_id in used))


def _refuse_unusable(place: Place, used: Mapping[str, _Used]) -> None:
    """Raises SetAside for a run of a held-out task, and of one that has a run."""
    task = place.task.task_id
    if place.held_out:
        raise SetAside(
            "held out",
            f"belongs to task {task} of the held-out split {place.part}: training on it would make its evaluation "
            "worthless",
        )
    if task in used:
        raise SetAside("task has one", f"is another run of task {task}; that of {used[task].where} is used")


def _where(raw: Raw, files: Sequence[Path]) -> str:
    return raw.where if len(files) == 1 else f"{raw.file.name}, {raw.where}"
