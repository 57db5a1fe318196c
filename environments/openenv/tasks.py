"""The tasks of a server: those that it lists, else seeds."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from itertools import islice
from typing import Any, Protocol
from urllib.parse import quote

from environments.base import SPLITS, EnvironmentFault, Task
from environments.openenv.http import asked
from environments.openenv.options import NAME, Options

SEEDS = 10_000_000
"""So many seeds each split has, where the server lists no tasks."""


class Tasks(Protocol):
    def splits(self) -> list[str]: ...

    def of(self, split: str, count: int, seed: int) -> list[Task]:
        """See environments.base.World. A task's payload is the data of its reset, as JSON."""
        ...


class Seeds:
    """A task is a seed. The splits have ranges of their own."""

    def __init__(self, name: str) -> None:
        self._name = name

    def splits(self) -> list[str]:
        return list(SPLITS)

    def of(self, split: str, count: int, seed: int) -> list[Task]:
        first = SPLITS.index(split) * SEEDS
        draw = random.Random(f"{split} {seed}")
        seeds = [first + number for number in islice(_distinct(draw), count)]
        return [Task(f"{self._name}/seed-{number}", payload=json.dumps({"seed": number})) for number in seeds]


class Listed:
    """The tasks that the server lists, by split and index. The digest of what it says of a task is part of its id."""

    def __init__(self, options: Options, name: str, own: list[str]) -> None:
        """Raises EnvironmentFault for a named split that the server does not have, and without training tasks."""
        self._url, self._options, self._name = f"{options.url.rstrip('/')}/{quote(name)}", options, name
        self._own = options.splits or {split: split for split in own}
        missing = [split for split in self._own.values() if split not in own]
        if missing or "train" not in self._own:
            wrong = f"the server has no split {missing[0]!r}" if missing else "no split is called train"
            raise EnvironmentFault(
                f"{NAME}: {wrong}; it has {', '.join(own)}: set environment.options.splits, e.g. {{train: {own[0]}}}"
            )

    def splits(self) -> list[str]:
        return list(self._own)

    def of(self, split: str, count: int, seed: int) -> list[Task]:
        theirs = self._own[split]
        listed: list[Any] = self._ask("tasks", "tasks", split=theirs)
        there = int(self._ask("num_tasks", "num_tasks", split=theirs))
        if count > there:
            raise EnvironmentFault(
                f"{count} {split} tasks were requested, and the server has {there}: request fewer"
            )
        order = list(range(there))
        random.Random(f"{split} {seed}").shuffle(order)
        return [self._task(theirs, index, listed) for index in order[:count]]

    def _task(self, split: str, index: int, listed: list[Any]) -> Task:
        """A server may list only the first of many tasks; it is asked for the others one by one."""
        said = listed[index] if index < len(listed) else self._ask("task", "task", split=split, index=index)
        about = said if isinstance(said, dict) else {"id": said}
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]
        label = about.get("id") or about.get("task_id") or index
        return Task(
            f"{self._name}/{split}/{label}#{digest}",
            task_type=str(about.get("task_type") or ""),
            instruction=str(about.get("instruction") or ""),
            payload=json.dumps({"split": split, "index": index}),
        )

    def _ask(self, page: str, field: str, **body: object) -> Any:
        answer = asked(f"{self._url}/{page}", self._options.timeout, body)
        if not isinstance(answer, dict) or field not in answer:
            raise EnvironmentFault(f"{self._url}/{page}: the server lists splits, and no {field} for {body}")
        return answer[field]


def tasks_of(options: Options, name: str) -> Tasks:
    """What the server lists; seeds if it cannot list splits, or has none. Raises EnvironmentFault."""
    base = options.url.rstrip("/")
    names = asked(f"{base}/list_environments", options.timeout)
    listed = (
        asked(f"{base}/{quote(str(names[0]))}/splits", options.timeout)
        if isinstance(names, list) and names
        else None
    )
    own = [str(split["name"] if isinstance(split, dict) else split) for split in listed or ()]
    if own:
        return Listed(options, str(names[0]), own)
    if options.splits:
        raise EnvironmentFault(f"{NAME}: environment.options.splits is given, and {base} lists no splits")
    return Seeds(name)


def _distinct(draw: random.Random) -> Iterator[int]:
    seen: set[int] = set()
    while True:
        number = draw.randrange(SEEDS)
        if number not in seen:
            seen.add(number)
            yield number
