"""The actors of this process: started when a batch needs one, and kept for the next stage."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Condition
from typing import Any

from configs.cluster import RayConfig
from models.stopping import Stopped
from tasks.ray.actor import BatchActor
from tasks.ray.cluster import connected, make_place
from tasks.ray.faults import RunnerFault

FAILED_STARTS = 4
"""Actors in a row that end before they have begun."""
POLL_SECONDS = 0.5
TELL_SECONDS = 60.0
"""Between two lines that say what is waited for."""


@dataclass(frozen=True)
class Actor:
    """`handle`: Ray's. `name`: its machine and process."""

    handle: Any
    name: str


class Actors:
    """Used by the threads of a stage: each takes an actor, and gives it back or drops it."""

    def __init__(self, settings: RayConfig, root: Path) -> None:
        """For the data folder `root`. Raises RunnerFault if there is no cluster."""
        self.ray, self._settings = connected(settings), settings
        self._place = make_place(root)
        self._starting: dict[Any, Any] = {}
        self._idle: list[Actor] = []
        self.alive: list[Actor] = []
        self._changed = Condition()
        self._failed_starts = 0
        errors = self.ray.exceptions
        self.losses = (
            *(errors.RayActorError, errors.NodeDiedError, errors.WorkerCrashedError),
            *(errors.OutOfMemoryError, errors.ObjectLostError),
        )
        """What Ray raises where an actor, or its node, is gone."""

    def take(self, stopped: Callable[[], bool], log: Callable[[str], None]) -> Actor:
        """An actor that has no batch. Waits until the cluster has room for one. Raises Stopped, RunnerFault."""
        said = time.monotonic()
        while not stopped():
            with self._changed:
                if self._idle:
                    return self._idle.pop()
                if len(self.alive) + len(self._starting) < self._settings.actors:
                    self._start()
                starting = list(self._starting)
                if not starting:
                    self._changed.wait(POLL_SECONDS)
                    continue
            for opened in self.ray.wait(starting, timeout=POLL_SECONDS)[0]:
                self._opened(opened)
            if time.monotonic() - said > TELL_SECONDS:
                said = time.monotonic()
                cpus, gpus = self._settings.cpus, self._settings.gpus
                log(f"waits for room in the Ray cluster: an actor takes {cpus:g} CPUs and {gpus:g} GPUs")
        raise Stopped

    def give(self, actor: Actor) -> None:
        """The actor has no batch any more."""
        with self._changed:
            self._idle.append(actor)
            self._changed.notify_all()

    def drop(self, actor: Actor) -> None:
        """End an actor for good: one that is only out of reach must not go on beside its successor."""
        with suppress(self.ray.exceptions.RayError):
            self.ray.kill(actor.handle)
        with self._changed:
            self.alive.remove(actor)
            self._idle = [idle for idle in self._idle if idle is not actor]
            self._changed.notify_all()

    def end(self) -> None:
        """End all actors."""
        for actor in list(self.alive):
            self.drop(actor)
        for handle in self._starting.values():
            self.ray.kill(handle)
        Path(self._place.token).unlink(missing_ok=True)

    def _start(self) -> None:
        settings = self._settings
        made = self.ray.remote(
            num_cpus=settings.cpus,
            num_gpus=settings.gpus,
            max_restarts=0,
            max_concurrency=4,
            scheduling_strategy="SPREAD",
        )(BatchActor).remote()
        self._starting[made.open.remote(self._place.model_dump_json())] = made

    def _opened(self, opened: Any) -> None:
        """An actor has started, or failed to."""
        with self._changed:
            handle = self._starting.pop(opened, None)
        if handle is None:  # another thread has seen it
            return
        try:
            fault, name = self.ray.get(opened)
        except self.losses as loss:
            self._failed_starts += 1
            if self._failed_starts >= FAILED_STARTS:
                raise RunnerFault(
                    f"actors of the Ray cluster cannot be started ({reason(loss)}): see /tmp/ray/session_latest/logs "
                    "on its nodes"
                ) from None
            return
        if fault:
            self.ray.kill(handle)
            raise RunnerFault(fault)
        with self._changed:
            self._failed_starts = 0
            actor = Actor(handle, name)
            self.alive.append(actor)
            self._idle.append(actor)
            self._changed.notify_all()


_kept: dict[tuple[RayConfig, Path], Actors] = {}


def actors_of(settings: RayConfig, root: Path) -> Actors:
    """The actors of this process for a data folder. It keeps one such set: others would wait for its CPUs. Ray ends
    them with the process."""
    key = settings, root
    if key not in _kept:
        for others in _kept.values():
            others.end()
        _kept.clear()
        _kept[key] = Actors(settings, root)
    return _kept[key]


def reason(loss: Exception) -> str:
    """The first line of what Ray says of a loss."""
    return str(loss).strip().partition("\n")[0].rstrip(".")[:200] or type(loss).__name__
