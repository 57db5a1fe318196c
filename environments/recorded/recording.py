"""A recorded run, and a file of them: one JSON object a line, each line in one of the known forms.

Lines that hold no run are set aside with their number and the reason; the others are used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environments.base import EnvironmentFault, Task
from environments.identities import own_id
from environments.recorded.forms import Exchange, NotARun, exchanges_of, kind_of
from steca.action_formats import REACT, ActionFormat
from steca.types import Turn

MOST_LINES = 5
"""So many lines that were set aside are told in full."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One recorded run. `line`: its place in the file, 0 where a world has it. `answers`: the observation after each
    turn, None where none was recorded."""

    turns: tuple[Turn, ...]
    answers: tuple[str | None, ...]
    line: int = 0
    first_observation: str | None = None


@dataclass(frozen=True)
class Recordings:
    """The runs of a file. `set_aside`: (line, reason) of those that cannot be used."""

    path: Path
    by_id: Mapping[str, Recording]
    by_start: Mapping[str, Recording]
    set_aside: tuple[tuple[int, str], ...]
    digest: str

    def remarks(self) -> list[str]:
        """Which lines were set aside, and why."""
        if not self.set_aside:
            return []
        shown = "; ".join(f"line {line} {reason}" for line, reason in self.set_aside[:MOST_LINES])
        more = f"; and {len(self.set_aside) - MOST_LINES} more" if len(self.set_aside) > MOST_LINES else ""
        return [
            f"environment.demonstrations {self.path}: {len(self.set_aside)} lines set aside: {shown}{more}"
        ]

    def runs(self) -> list[Recording]:
        """All runs that can be used."""
        return [*self.by_id.values(), *self.by_start.values()]

    def no_match(self, task_id: str) -> str:
        """Why no run belongs to a task, where none belongs to any."""
        runs = len(self.runs())
        said = f"{runs} recorded {'run was' if runs == 1 else 'runs were'} read from {self.path}"
        if self.by_id:
            said += (
                f", and none has the id or payload of a task as its id: a run has {next(iter(self.by_id))[:60]!r}, "
                f"a task {task_id[:60]!r}"
            )
        if self.by_start:
            said += (
                f", and {len(self.by_start)} without an id, of which none has the first observation of a task"
            )
        return f"{said}; runs without an id are matched by their first observation"

    def find(self, task: Task, first_observation: str, same: Callable[[str, str], bool]) -> Recording | None:
        """The run of a task: by the task's id or payload, else one without an id with the same first observation.
        (Tasks whose first observations are equal may have different runs.)"""
        found = self.by_id.get(own_id(task)) or self.by_id.get(task.task_id) or self.by_id.get(task.payload)
        found = found or self.by_start.get(first_observation.strip())
        if found:
            return found
        return next((run for start, run in self.by_start.items() if same(start, first_observation)), None)


def read_recordings(path: Path, form: ActionFormat) -> Recordings:
    """The runs in a file of ShareGPT conversations, OpenAI messages or ATIF trajectories. Raises EnvironmentFault if
    the file cannot be read, or has no run at all."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EnvironmentFault(
            f"environment.demonstrations {path}: cannot be read: {error.strerror}"
        ) from None
    by_id: dict[str, Recording] = {}
    by_start: dict[str, Recording] = {}
    set_aside: list[tuple[int, str]] = []
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            identity, run = _run(line, number, form)
            if identity:
                _keep(by_id, identity, run)
            elif run.first_observation:
                _keep(by_start, run.first_observation.strip(), run)
            else:
                raise NotARun(
                    "names no task: it has no id (task_id, id, session_id) and no first observation"
                )
        except NotARun as problem:
            set_aside.append((number, str(problem)))
    if not by_id and not by_start:
        first = f", e.g. line {set_aside[0][0]}: {set_aside[0][1]}" if set_aside else ""
        raise EnvironmentFault(f"environment.demonstrations {path}: holds no run that can be used{first}")
    return Recordings(path, by_id, by_start, tuple(set_aside), hashlib.sha256(data).hexdigest()[:16])


def _keep(runs: dict[str, Recording], key: str, run: Recording) -> None:
    """The first run of a key counts. Another one with the same key is set aside unless it is the same run."""
    first = runs.setdefault(key, run)
    if first.turns != run.turns:
        raise NotARun(f"line {first.line} has another run of the same task ({key[:60]!r}); the first is used")


def _run(line: bytes, number: int, form: ActionFormat) -> tuple[str, Recording]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise NotARun(f"is not JSON: {error}") from None
    if not isinstance(row, dict):
        raise NotARun(f"is {kind_of(row)} and not an object")
    return recording_of(row, number, form)


def recording_of(row: Mapping[str, Any], number: int, form: ActionFormat) -> tuple[str, Recording]:
    """The id in a row ("" if it has none), and its run. `number`: its line. Raises NotARun."""
    first, exchanges = exchanges_of(row)
    turns: list[Turn] = []
    answers: list[str | None] = []
    for place, exchange in enumerate(exchanges):
        turn = _turn(exchange, form)
        if turn is None and not turns:  # the instruction, and "OK"
            first = exchange.answer
            continue
        if turn is None:
            raise NotARun(f"turn {place + 1} has no action: it must be {form.hint}")
        turns.append(turn)
        answers.append(exchange.answer)
    if not turns:
        raise NotARun(f"has no turn with an action: it must be {form.hint}")
    return _identity(row), Recording(tuple(turns), tuple(answers), number, first)


def _turn(exchange: Exchange, form: ActionFormat) -> Turn | None:
    if exchange.call is not None:
        written = (known.parse(exchange.said) for known in (form, REACT))  # the call may be in the text too
        thought = next((found[0] for found in written if found and found[1] == exchange.call), exchange.said)
        return Turn(" ".join(thought.split()), exchange.call)
    parsed = form.parse(exchange.said)
    return Turn(*parsed) if parsed else None


def _identity(row: Mapping[str, Any]) -> str:
    """The task's id in a row: the first of the usual fields, there or in its `metadata` or `extra`."""
    for place in (row, row.get("metadata"), row.get("extra")):
        if isinstance(place, dict):
            for name in ("task_id", "id", "session_id"):
                if isinstance(place.get(name), str | int) and str(place[name]):
                    return str(place[name])
    return ""
