"""States of environments without snapshots: a state is its history, played again where no environment stands there.

A live environment moves with the episode that it plays, so an episode that goes on costs no replay. Branching does:
the second rollout from a state resets an environment and plays the history again. Every answer is compared with the
recorded one, so a world that is not deterministic is noticed.

Cost, with L live environments: while at most L episodes run, only branches are replayed. With more, nearly every step
replays its whole history (`rollouts.play` therefore never runs more).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition
from typing import TypeVar

from environments.base import Environment, EpisodeFault, StepResult, Task
from environments.states.advice import REPEATABLE, differing
from environments.states.attempts import Failures, attempted
from environments.states.calling import reset, step
from environments.states.snapshots import close_quietly
from environments.states.state import State

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """The last step of a history. `before` is None, and `action` empty, at the start of the task."""

    before: State | None
    action: str
    observation: str


@dataclass(slots=True)
class StepCounts:
    """What was asked of the environments: environments made, resets, steps, and those of them that were replays."""

    environments: int = 0
    resets: int = 0
    steps: int = 0
    replayed: int = 0


class ReplayedStates:
    """See environments.states.state.States. `live`: most environments at a time. `same`: whether two observations mean
    the same."""

    def __init__(
        self,
        make: Callable[[], Environment],
        failures: Failures,
        live: int,
        same: Callable[[str, str], bool],
    ) -> None:
        self._make, self._failures, self._most, self._same = make, failures, live, same
        self._standing: dict[State, Environment] = {}  # those taken next come first
        self._free: list[Environment] = []
        self._changed = Condition()
        self._alive = 0
        self.counts = StepCounts()

    def begin(self, task: Task, seed: int) -> tuple[str, State]:
        def work() -> tuple[str, State]:
            with self._any() as (environment, leave_at):
                first = self._reset(environment, task, seed)
                return first, leave_at(State(task, seed, Played(None, "", first)))

        return attempted(task, work, self._failures)

    def advance(self, state: State, action: str) -> tuple[StepResult, State]:
        def work() -> tuple[StepResult, State]:
            with self._at(state) as (environment, leave_at):
                result = self._step(environment, state.task, action)
                played = Played(state, action, result.observation)
                return result, leave_at(State(state.task, state.seed, played, result.reward))

        return attempted(state.task, work, self._failures, action)

    def ask(self, state: State, question: Callable[[Environment], T]) -> T:
        def work() -> T:
            with self._at(state) as (environment, leave_at):
                answer = question(environment)
                leave_at(state)
                return answer

        return attempted(state.task, work, self._failures)

    def ended(self, state: State) -> None:
        with self._changed:
            if environment := self._standing.pop(state, None):
                self._standing = {state: environment, **self._standing}

    def close(self) -> None:
        with self._changed:
            alive = [*self._standing.values(), *self._free]
            self._standing, self._free, self._alive = {}, [], self._alive - len(alive)
        for environment in alive:
            close_quietly(environment)

    @contextmanager
    def _at(self, state: State) -> Iterator[tuple[Environment, Callable[[State], State]]]:
        """An environment that stands at a state."""
        with self._changed:
            standing = self._standing.pop(state, None)
        with self._any(standing) as (environment, leave_at):
            if standing is None:
                self._replay(environment, state)
            yield environment, leave_at

    @contextmanager
    def _any(
        self, taken: Environment | None = None
    ) -> Iterator[tuple[Environment, Callable[[State], State]]]:
        """An environment, and how to say at which state it is left. One that raises is closed."""
        environment = taken or self._take()

        def leave_at(state: State) -> State:
            with self._changed:
                if state in self._standing:
                    self._free.append(environment)
                else:
                    self._standing[state] = environment
                self._changed.notify()
            return state

        try:
            yield environment, leave_at
        except BaseException:
            close_quietly(environment)
            with self._changed:
                self._alive -= 1
                self._changed.notify()
            raise

    def _take(self) -> Environment:
        """A free environment, a new one, one whose episode has ended, or the one that was used longest ago. Others go
        on while one is made, which may take long."""
        with self._changed:
            while not (self._free or self._standing) and self._alive >= self._most:
                self._changed.wait()
            if self._free:
                return self._free.pop()
            if self._alive >= self._most:
                return self._standing.pop(next(iter(self._standing)))
            self._alive += 1
            self.counts.environments += 1
        try:
            return self._make()
        except BaseException:
            with self._changed:
                self._alive -= 1
                self._changed.notify()
            raise

    def _replay(self, environment: Environment, state: State) -> None:
        """Bring an environment to a state. Raises EpisodeFault if an answer is another one than before."""
        history = list(_history(state))[::-1]
        self._check(state.task, 0, history[0], self._reset(environment, state.task, state.seed))
        for index, played in enumerate(history[1:], start=1):
            result = self._step(environment, state.task, played.action)
            self.counts.replayed += 1
            self._check(state.task, index, played, result.observation)

    def _check(self, task: Task, index: int, played: Played, now: str) -> None:
        if not self._same(played.observation, now):
            what = f"step {index}, {played.action!r}," if index else "the first observation"
            then, now = differing(played.observation, now)
            raise EpisodeFault(
                f"task {task.task_id} is not deterministic: {what} was answered {then} and, played again, {now}: "
                f"{REPEATABLE}"
            )

    def _reset(self, environment: Environment, task: Task, seed: int) -> str:
        self.counts.resets += 1
        return reset(environment, task, seed)

    def _step(self, environment: Environment, task: Task, action: str) -> StepResult:
        self.counts.steps += 1
        return step(environment, task, action)


def _history(state: State) -> Iterator[Played]:
    """The steps that led to a state, the last one first."""
    at: State | None = state
    while at is not None:
        assert isinstance(at.inner, Played), "a state of another kind of world"
        yield at.inner
        at = at.inner.before
