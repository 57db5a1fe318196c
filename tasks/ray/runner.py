"""Has the batches of a stage made by actors. A batch whose actor is lost is made again by another one."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from configs.schema import FactoryConfig
from models.stopping import Stopped
from rollouts.budget import BudgetTracker
from storage.ids import content_id
from storage.runs import Spent
from tasks.batch import Order
from tasks.caching import Result
from tasks.ray.actors import POLL_SECONDS, Actor, actors_of, reason
from tasks.ray.errors import error_of
from tasks.ray.faults import RunnerFault
from tasks.ray.messages import Answer, SentOrder, Told
from tasks.ray.servers import Servers
from tasks.resources.run_resources import RunResources

ATTEMPTS = 4
"""Actors that may be lost with the same batch before it is no accident."""
STOP_SECONDS = 30.0
"""For requests in flight, which are paid for, when a batch is to end."""
TOLD_SECONDS = 60.0


class RayRunner:
    """Implements tasks.batch.Runner for the threads of a stage. Close it at the end."""

    def __init__(self, config: FactoryConfig, resources: RunResources) -> None:
        """Raises RunnerFault if there is no cluster."""
        self._resources = resources
        self._actors = actors_of(config.execution.ray, resources.root)
        self._ray = self._actors.ray
        self._servers = Servers(config, resources)
        self._stopped = False
        self.world_failures: list[str] = []

    def run(self, order: Order) -> Result:
        """See tasks.batch.Runner. Raises RunnerFault after the batch has lost ATTEMPTS actors."""
        batch = f"{order.task} batch {content_id(order.inputs)}"
        with order.context.budget.playing():
            for attempt in range(1, ATTEMPTS + 1):
                sent, keys = self._sent(order)
                actor = self._actors.take(lambda: self._stopped, self._resources.log)
                try:
                    answer = self._watched(actor.handle, actor.handle.run.remote(sent, keys), order)
                except self._actors.losses as loss:
                    self._actors.drop(actor)
                    self._resources.log(
                        f"the actor on {actor.name} is gone ({reason(loss)}) in the middle of {batch}: made again by "
                        f"another one (attempt {attempt} of {ATTEMPTS})"
                    )
                    continue
                except BaseException:  # it is still at work
                    self._actors.drop(actor)
                    raise
                self._actors.give(actor)
                return self._result(answer, actor, order)
        raise RunnerFault(
            f"{batch} has lost {ATTEMPTS} actors: see why in /tmp/ray/session_latest/logs on their nodes (often "
            "memory), then run again: what is finished is kept"
        )

    def stop(self) -> None:
        """End the batches that run, from another thread: they raise Stopped."""
        self._stopped = True

    def close(self) -> None:
        """Let the actors release everything that they have opened. Their processes are kept for the next stage,
        unless this one was stopped. `world_failures` then has what to say of the failures of worlds."""
        alive = list(self._actors.alive)
        closing = [actor.handle.close.remote() for actor in alive]
        closed = self._ray.wait(closing, num_returns=len(closing), timeout=STOP_SECONDS)[0] if alive else []
        for actor, answer in zip(alive, closing, strict=True):
            try:
                self.world_failures += self._ray.get(answer, timeout=0) if answer in closed else []
            except self._ray.exceptions.RayError:
                self._actors.drop(actor)
                continue
            if self._stopped or answer not in closed:
                self._actors.drop(actor)

    def _watched(self, handle: Any, asked: Any, order: Order) -> Answer:
        """The answer to an order. Until it is there, what the actor tells is reported."""
        charged, end = Spent(), 0.0
        while not self._ray.wait([asked], timeout=POLL_SECONDS)[0]:
            with suppress(self._ray.exceptions.RayError):  # a lost actor is seen by the answer
                told = self._ray.get(handle.told.remote(), timeout=TOLD_SECONDS)
                charged = self._report(Told.model_validate_json(told), order, charged)
            self._servers.revive()
            if self._stopped and not end:
                handle.stop.remote()
                end = time.monotonic() + STOP_SECONDS
            if end and time.monotonic() > end:  # a local engine does not listen
                raise Stopped
        answer = Answer.model_validate_json(self._ray.get(asked))
        self._report(answer.told, order, charged)
        return answer

    def _result(self, answer: Answer, actor: Actor, order: Order) -> Result:
        if answer.failure:
            raise error_of(answer.failure, actor.name)
        order.context.budget.limit_reached = answer.limit
        assert answer.result is not None, "a result or a failure"
        return answer.result

    def _sent(self, order: Order) -> tuple[str, dict[str, str]]:
        """The order as it is sent, and the variables with the API keys that it needs."""
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
        return sent.model_dump_json(), keys

    def _report(self, told: Told, order: Order, charged: Spent) -> Spent:
        """Report progress and lines, and charge what was saved since the last time. Returns all that is charged."""
        for line in told.lines:
            self._resources.log(line)
        if order.context.progress and told.total:
            order.context.progress(told.done, told.total)
        _charge(order.context.budget, charged, told.spent)
        return told.spent


def _charge(budget: BudgetTracker, before: Spent, now: Spent) -> None:
    if now != before:
        seconds = now.seconds - before.seconds
        budget.charge(now.rollouts - before.rollouts, now.tokens - before.tokens, seconds)
        budget.mark_saved()
