"""Which task a run belongs to: the one that it names, else those with the same first observation.

Other tools name tasks in their own ways, and put their instructions before the first observation. So a run whose id is
unknown is matched by what it saw first. Several tasks may begin alike: then playing the run tells which one it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from environments.base import EpisodeFault, Task
from environments.capabilities import Compares
from environments.complete import CompleteWorld
from environments.identities import own_id
from environments.recorded.forms import NotARun
from environments.recorded.recording import Recording
from steca.vocabulary import Progress

MOST_ALIKE = 50
"""With more tasks that begin alike, a run has to name its own."""


@dataclass(frozen=True, slots=True)
class Place:
    """A task and the part of the run that it is in: demonstrations, exploration, shared, or a held-out split."""

    task: Task
    part: str
    held_out: bool


class Matcher:
    """The tasks of a run's configuration. `parts`: its tasks by part. `training`: the names of the parts that are
    trained on; all others are held out. `progress` is told how many first observations were looked at."""

    def __init__(
        self,
        world: CompleteWorld,
        parts: Mapping[str, Sequence[Task]],
        training: Collection[str],
        progress: Callable[[], Progress | None] = lambda: None,
    ) -> None:
        self._world, self._progress = world, progress
        self.places = [
            Place(task, part, part not in training) for part, tasks in parts.items() for task in tasks
        ]
        self._by_name: dict[str, list[Place]] = defaultdict(list)
        for place in self.places:
            for name in {own_id(place.task), place.task.task_id, place.task.payload} - {""}:
                self._by_name[name].append(place)
        self._starts: dict[str, list[tuple[str, Place]]] | None = None

    def find(self, identity: str, run: Recording) -> tuple[list[Place], str]:
        """The tasks that a run may belong to, and how they were found: "id" or "first observation". Raises NotARun if
        there are none, or too many."""
        if found := self._by_name.get(identity) if identity else None:
            return found, "id"
        found = self._alike(run.first_observation or "")
        if len(found) > MOST_ALIKE:
            raise NotARun(f"begins like {len(found)} tasks: give it a field task_id with the id of its task")
        if not found:
            raise NotARun(self._no_task(identity, run))
        return found, "first observation"

    def _alike(self, first: str) -> list[Place]:
        if not first.strip():
            return []
        lines = dict.fromkeys(line.strip() for line in first.splitlines())
        candidates = [pair for line in lines for pair in self._by_start().get(line, ())]
        found = [place for start, place in candidates if start in first]
        if found or not isinstance(self._world.own, Compares):
            return found
        starts = (pair for pairs in self._by_start().values() for pair in pairs)
        return [place for start, place in starts if self._world.same(start, first)]

    def _by_start(self) -> Mapping[str, Sequence[tuple[str, Place]]]:
        """Tasks by the last line of their first observation. Each is started once, when it is first needed."""
        if self._starts is None:
            self._starts = defaultdict(list)
            progress = self._progress()
            for number, place in enumerate(self.places, start=1):
                try:
                    first = self._world.begin(place.task)[0].strip()
                except EpisodeFault:  # the world's connection failed: nothing is known of this task
                    first = ""
                if first:
                    self._starts[first.splitlines()[-1].strip()].append((first, place))
                if progress:
                    progress(number, len(self.places))
        return self._starts

    def _no_task(self, identity: str, run: Recording) -> str:
        own = own_id(self.places[0].task) if self.places else ""
        named = f"its id {identity[:60]!r} is none (a task has {own[:60]!r})" if identity else "it has no id"
        seen = (
            "its first observation is that of none"
            if run.first_observation
            else "it has no first observation"
        )
        return f"belongs to none of the {len(self.places)} tasks of this configuration: {named}, and {seen}"
