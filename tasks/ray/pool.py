"""The actors of a stage: each makes one batch at a time. A batch whose actor is lost is made again by another one."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Condition
from typing import Any

from configs.schema import FactoryConfig
from models.stopping import Stopped
from rollouts.budget import BudgetTracker
from storage.ids import content_id
from storage.runs import Spent
from tasks.batch import Order
from tasks.caching import Result
from tasks.ray.actor import BatchActor
from tasks.ray.cluster import connected, hosts, make_place
from tasks.ray.errors import error_of
from tasks.ray.faults import RunnerFault
from tasks.ray.messages import Answer, SentOrder, Told
from tasks.ray.servers import Servers
from tasks.resources.run_resources import RunResources

ATTEMPTS = 4
"""Actors that may be lost with the same batch before it is no accident."""
POLL_SECONDS = 0.5
STOP_SECONDS = 30.0
"""For requests in flight, which are paid for, when a batch is to end."""
WAIT_TOLD = 60.0


@dataclass(frozen=True)
class Actor:
    """`handle`: Ray's. `name`: its machine and process."""

    handle: Any
    name: str


class ActorPool:
    """Implements tasks.batch.Runner for the threads of a stage. Actors are started when a batch needs one. Close it at
    the end."""

    def __init__(self, config: FactoryConfig, resources: RunResources) -> None:
        """Raises RunnerFault if there is no cluster."""
        self._settings, self._resources = config.execution.ray, resources
        self._ray = connected(self._settings)
        several = len(hosts(self._ray)) > 1
        host = self._ray.util.get_node_ip_address() if several else "127.0.0.1"
        self._servers = Servers(config, resources, host)
        self._place = make_place(resources.root)
        self._starting: dict[Any, Any] = {}
        self._idle: list[Actor] = []
        self._alive: list[Actor] = []
        self._changed = Condition()
        self._stopped = False
        self._lost_starts = 0
        self.world_failures: list[str] = []
        errors = self._ray.exceptions
        self._losses = (
            errors.RayActorError,
            errors.NodeDiedError,
            errors.WorkerCrashedError,
            errors.OutOfMemoryError,
            errors.ObjectLostError,
        )

    def run(self, order: Order) -> Result:
        """See tasks.batch.Runner. Raises RunnerFault after the batch has lost ATTEMPTS actors."""
        budget, batch = order.context.budget, f"{order.task} batch {content_id(order.inputs)}"
        with budget.playing():
            for attempt in range(1, ATTEMPTS + 1):
                actor = self._taken()
                try:
                    answer = self._watched(actor, order)
                except self._losses as loss:
                    self._drop(actor)
                    self._resources.log(
                        f"the actor on {actor.name} is gone ({_reason(loss)}) in the middle of {batch}: made again by "
                        f"another one (attempt {attempt} of {ATTEMPTS})"
                    )
                    continue
                self._give(actor)
                if answer.failure:
                    raise error_of(answer.failure, actor.name)
                budget.limit_reached = answer.limit
                assert answer.result is not None, "a result or a failure"
                return answer.result
        raise RunnerFault(
            f"{batch} has lost {ATTEMPTS} actors: see why in /tmp/ray/session_latest/logs on their nodes (often "
            "memory), then run again: what is finished is kept"
        )

    def stop(self) -> None:
        """End the batches that run, from another thread: they raise Stopped."""
        self._stopped = True

    def close(self) -> None:
        """End all actors and the server. `world_failures` then has what to say of the failures of their worlds."""
        closing = [actor.handle.close.remote() for actor in self._alive]
        for closed in (
            self._ray.wait(closing, num_returns=len(closing), timeout=STOP_SECONDS)[0] if closing else ()
        ):
            with suppress(self._ray.exceptions.RayError):
                self.world_failures += self._ray.get(closed)
        for handle in [*(actor.handle for actor in self._alive), *self._starting.values()]:
            self._ray.kill(handle)
        self._alive, self._idle, self._starting = [], [], {}
        self._servers.close()
        Path(self._place.token).unlink(missing_ok=True)

    def _watched(self, actor: Actor, order: Order) -> Answer:
        """The answer to an order. Until it is there, what the actor tells is reported."""
        context = order.context
        config, keys = self._servers.configured(order)
        sent = SentOrder(
            task=order.task,
            version=order.version,
            inputs=order.inputs,
            refs={name: tuple(refs) for name, refs in context.refs.items()},
            config=config,
            scorers=dict(self._resources.scorers),
            force=context.force,
            allowance=context.budget.allowance(),
        )
        asked, charged, end = actor.handle.run.remote(sent.model_dump_json(), keys), Spent(), 0.0
        while not self._ray.wait([asked], timeout=POLL_SECONDS)[0]:
            with suppress(self._ray.exceptions.RayError):  # a lost actor is seen by the answer
                told = Told.model_validate_json(self._ray.get(actor.handle.told.remote(), timeout=WAIT_TOLD))
                charged = self._report(told, order, charged)
            self._servers.revive()
            if self._stopped and not end:
                actor.handle.stop.remote()
                end = time.monotonic() + STOP_SECONDS
            if end and time.monotonic() > end:  # a local engine does not listen
                self._drop(actor)
                raise Stopped
        answer = Answer.model_validate_json(self._ray.get(asked))
        self._report(answer.told, order, charged)
        return answer

    def _report(self, told: Told, order: Order, charged: Spent) -> Spent:
        """Report progress and lines, and charge what has been saved since the last time. Returns all that is
        charged."""
        for line in told.lines:
            self._resources.log(line)
        if order.context.progress and told.total:
            order.context.progress(told.done, told.total)
        _charge(order.context.budget, charged, told.spent)
        return told.spent

    def _taken(self) -> Actor:
        """An actor that has no batch. Waits until the cluster has room for one. Raises Stopped, RunnerFault."""
        said = time.monotonic()
        while not self._stopped:
            with self._changed:
                if self._idle:
                    return self._idle.pop()
                if len(self._alive) + len(self._starting) < self._settings.actors:
                    self._start()
                starting = list(self._starting)
                if not starting:
                    self._changed.wait(POLL_SECONDS)
                    continue
            for opened in self._ray.wait(starting, timeout=POLL_SECONDS)[0]:
                self._opened(opened)
            if time.monotonic() - said > WAIT_TOLD:
                said = time.monotonic()
                self._resources.log(
                    f"waits for room in the Ray cluster: an actor takes {self._settings.cpus:g} CPUs and "
                    f"{self._settings.gpus:g} GPUs"
                )
        raise Stopped

    def _start(self) -> None:
        settings = self._settings
        made = self._ray.remote(
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
            fault, name = self._ray.get(opened)
        except self._losses as loss:
            self._lost_starts += 1
            if self._lost_starts >= ATTEMPTS:
                raise RunnerFault(f"actors of the Ray cluster cannot be started ({_reason(loss)})") from None
            return
        self._lost_starts = 0
        if fault:
            self._ray.kill(handle)
            raise RunnerFault(fault)
        with self._changed:
            actor = Actor(handle, name)
            self._alive.append(actor)
            self._idle.append(actor)
            self._changed.notify_all()

    def _give(self, actor: Actor) -> None:
        with self._changed:
            self._idle.append(actor)
            self._changed.notify_all()

    def _drop(self, actor: Actor) -> None:
        """End an actor for good: one that is only out of reach must not go on beside its successor."""
        with suppress(Exception):
            self._ray.kill(actor.handle)
        with self._changed:
            self._alive.remove(actor)
            self._changed.notify_all()


def _charge(budget: BudgetTracker, before: Spent, now: Spent) -> None:
    if now != before:
        seconds = now.seconds - before.seconds
        budget.charge(now.rollouts - before.rollouts, now.tokens - before.tokens, seconds)
        budget.mark_saved()


def _reason(loss: Exception) -> str:
    """The first line of what Ray says of a loss."""
    return str(loss).strip().partition("\n")[0].rstrip(".")[:200] or type(loss).__name__
