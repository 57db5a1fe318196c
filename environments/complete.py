"""A world as the stages use it: every capability, the world's own or its default, and states as values.

Nothing above this package asks whether a world has a capability, except to tell the user what is missing
(`environments/missing.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cached_property
from threading import Lock, RLock
from typing import TypeVar, cast
from weakref import WeakValueDictionary

from configs.environment import EnvironmentConfig
from environments import capabilities as can
from environments import general
from environments.answers import a_share, one_turn, some_texts, some_turns
from environments.base import SPLITS, Environment, EnvironmentFault, StepResult, Task, World
from environments.briefing import told
from environments.identities import as_listed, completed_tasks
from environments.recorded.recording import Recording, Recordings, read_recordings
from environments.states.advice import SHARES_NOTHING
from environments.states.attempts import Failures
from environments.states.calling import ENVIRONMENT_METHODS, called, refuse_without, where
from environments.states.places import Places
from environments.states.replays import ReplayedStates
from environments.states.snapshots import SnapshotStates, close_quietly
from environments.states.state import State, States
from environments.versions import version_of
from steca.action_formats import FORMATS
from steca.types import Step, Turn

T = TypeVar("T")
LIVE_ENVIRONMENTS = 512
"""Most environments of a world that names no number."""


class CompleteWorld:
    """A world with every capability, as configured. Close it at the end. Its methods raise EnvironmentFault."""

    def __init__(self, world: World, config: EnvironmentConfig) -> None:
        self.own, self._config = world, config
        self._abilities: dict[type, bool] = {}
        self._spare: list[Environment] = []
        self._making = Lock()
        self._made: WeakValueDictionary[int, Environment] = WeakValueDictionary()
        self.failures = Failures()
        self.name = str(getattr(world, "name", config.name))
        self.form = FORMATS[config.action_format]
        self.live_environments = int(getattr(world, "live_environments", LIVE_ENVIRONMENTS))
        self.places = Places(self.live_environments)
        self.blocking = bool(getattr(world, "blocking", False))
        # a world that steps in this process may share what it likes between its environments
        self._stepping: AbstractContextManager[object] = nullcontext() if self.blocking else RLock()
        self.connection_options = _names(getattr(world, "connection_options", ()))
        self.no_action = str(getattr(world, "no_action", f"This turn has no action. Write {self.form.hint}."))

    @cached_property
    def version(self) -> str:
        return version_of(self.own)

    def splits(self) -> tuple[str, ...]:
        return tuple(self.own.splits()) if isinstance(self.own, can.HasSplits) else SPLITS

    def tasks(self, split: str, count: int, seed: int) -> list[Task]:
        """See environments.base.World. World and split are filled in, and the ids cover what the tasks say
        (environments/identities.py)."""
        if split not in self.splits():
            raise EnvironmentFault(
                f"world {self.name} has no split {split!r}; it has {', '.join(self.splits())}"
            )
        listed = called(
            f"world {self.name}: tasks({split!r}, {count}, {seed})", self.own.tasks, split, count, seed
        )
        return completed_tasks(self.own, self.name, listed, split, count)

    # -- states -------------------------------------------------------------------------------------------------------

    @cached_property
    def states(self) -> States:
        if self.can(can.Snapshots):
            return SnapshotStates(self.make_environment, self.failures)
        return ReplayedStates(self.make_environment, self.failures, self.live_environments, self.same)

    def make_environment(self) -> Environment:
        """A new environment, one at a time. The one that was made to see what it can do is the first. Raises
        EnvironmentFault for an object that it gave before (of a class with weak references)."""
        what = f"world {self.name}: environment()"
        with self._making:
            if self._spare:
                return self._spare.pop()
            made = called(what, self.own.environment)
            refuse_without(made, what, ENVIRONMENT_METHODS)
            with suppress(TypeError):  # of a class without weak references
                if self._made.get(id(made)) is made:
                    raise EnvironmentFault(
                        f"{what} gave a {type(made).__name__} that it gave before, and episodes are played beside each "
                        f"other: {SHARES_NOTHING}"
                    )
                self._made[id(made)] = made
        return made

    @cached_property
    def _first_environment(self) -> Environment:
        """The environment whose class says what all of them can do."""
        first = self.make_environment()
        self._spare.append(first)
        return first

    def can(self, capability: type) -> bool:
        """Whether the world, or its environments, have a capability of environments.capabilities."""
        if capability not in self._abilities:  # isinstance with a protocol is slow
            has = isinstance(self.own, capability) or isinstance(self._first_environment, capability)
            self._abilities[capability] = has
        return self._abilities[capability]

    def begin(self, task: Task, seed: int = 0) -> tuple[str, State]:
        """The first observation of a task, and the state at its start."""
        with self._stepping:
            return self.states.begin(task, seed)

    def advance(self, state: State, action: str | None) -> tuple[StepResult, State]:
        """The answer to an action, and the state after it. None: the turn had no action; it costs a step and changes
        nothing."""
        if action is None:
            return StepResult(self.no_action, state.reward, valid=False), state
        with self._stepping:
            return self.states.advance(state, action)

    def ended(self, state: State) -> None:
        """An episode has ended at this state."""
        self.states.ended(state)

    def progress(self, state: State) -> float:
        """Share of the goal reached at a state, in [0, 1]; the reward so far where environments do not measure it."""
        if not self.can(can.MeasuresProgress):
            return state.reward
        answer = self._ask("progress", state, lambda asked: cast(can.MeasuresProgress, asked).progress())
        return a_share(answer, _asked("progress", state.task))

    def admissible_actions(self, state: State) -> list[str]:
        """Every action that the world accepts at a state; none where environments cannot tell."""
        if not self.can(can.AdmitsActions):
            return []
        method = "admissible_actions"
        answer = self._ask(method, state, lambda asked: cast(can.AdmitsActions, asked).admissible_actions())
        return some_texts(answer, _asked(method, state.task))

    def expert_turn(self, state: State, first_observation: str, steps: Sequence[Step]) -> Turn | None:
        """The expert's next turn; None where there is no expert, or no next turn."""
        if not self.can(can.Expert):
            return None
        method = "expert_turn"
        answer = self._ask(
            method, state, lambda asked: cast(can.Expert, asked).expert_turn(first_observation, steps)
        )
        return one_turn(answer, _asked(method, state.task))

    def plan_repair(self, state: State) -> list[Turn] | None:
        """A plan to the goal from a state; None where there is no planner, or no plan."""
        if not self.can(can.Planner):
            return None
        answer = self._ask("plan_repair", state, lambda asked: cast(can.Planner, asked).plan_repair())
        return some_turns(answer, _asked("plan_repair", state.task))

    def _ask(self, method: str, state: State, question: Callable[[Environment], T]) -> T:
        try:
            with self._stepping:
                return self.states.ask(state, question)
        except EnvironmentFault:
            raise
        except (Exception, SystemExit) as error:
            raise EnvironmentFault(f"{_asked(method, state.task)} raised {where(error)}") from error

    def close(self) -> None:
        """Close the environments and the world."""
        if "states" in self.__dict__:
            self.states.close()
        while self._spare:
            close_quietly(self._spare.pop())
        close_quietly(self.own)

    # -- what is said about tasks ----------------------------------------------------------------------------------

    @cached_property
    def recordings(self) -> Recordings | None:
        """The recorded runs that the configuration names."""
        path = self._config.demonstrations
        return read_recordings(path, self.form) if path else None

    def recording(self, task: Task, first_observation: str) -> Recording | None:
        """The recorded expert run of a task: the configuration's, else the world's; None if it has none."""
        if self.recordings:
            return self.recordings.find(task, first_observation, self.same)
        answer = self.own.demonstration(as_listed(task)) if isinstance(self.own, can.Recorded) else None
        turns = some_turns(answer, _asked("demonstration", task))
        return None if turns is None else Recording(tuple(turns), (None,) * len(turns))

    def briefing(self, task: Task, example: bool) -> str:
        """What a chat model is told before the task's first observation."""
        own = self.own
        if isinstance(own, can.Briefs):
            said = own.briefing(as_listed(task), example, self.form)
        elif example:
            raise EnvironmentFault(f"world {self.name} has no worked example: set policy.prompt: react")
        else:
            said = f"{self._config.briefing}\n\n{self.form.instruction}".strip()
        return told(said, own, self._config)

    def reflect(
        self, instruction: str, first_observation: str, steps: Sequence[Step], required_action: str
    ) -> str:
        """See environments.capabilities.Reflects."""
        by = self.own.reflect if isinstance(self.own, can.Reflects) else general.reflect
        return by(instruction, first_observation, steps, required_action)

    def ungrounded(
        self,
        first_observation: str,
        instruction: str,
        steps: Sequence[Step],
        required_action: str,
        thought: str,
    ) -> list[str]:
        """See environments.capabilities.ChecksGrounding."""
        by = self.own.ungrounded if isinstance(self.own, can.ChecksGrounding) else general.ungrounded
        return by(first_observation, instruction, steps, required_action, thought)

    def vocabulary(self) -> list[str]:
        """See environments.capabilities.HasVocabulary."""
        return list(self.own.vocabulary()) if isinstance(self.own, can.HasVocabulary) else []

    def same(self, one: str, other: str) -> bool:
        """Whether two observations mean the same."""
        return one == other or (isinstance(self.own, can.Compares) and self.own.same(one, other))

    def step_cap(self, task: Task, most: int) -> int:
        """Most steps of a task's episodes: `most`, or the task's own cap if that is less."""
        return min(most, self.own.step_cap(as_listed(task))) if isinstance(self.own, can.CapsSteps) else most

    def remarks(self) -> list[str]:
        """What a user should know about the listed tasks and the recorded runs, one line each."""
        return [*self.own_remarks(), *(self.recordings.remarks() if self.recordings else ())]

    def own_remarks(self) -> list[str]:
        """Those on the listed tasks."""
        return list(self.own.remarks()) if isinstance(self.own, can.Remarks) else []

    def data_digest(self) -> str:
        """The digest of what the world reads besides the data of its tasks; "" if nothing."""
        return self.own.data_digest() if isinstance(self.own, can.ReadsData) else ""


def _asked(method: str, task: Task) -> str:
    return f"task {task.task_id}: {method}"


def _names(said: object) -> tuple[str, ...]:
    """Raises EnvironmentFault for one text in place of several."""
    if isinstance(said, str) or not isinstance(said, Iterable):
        raise EnvironmentFault(f'connection_options is {said!r}: give names of options, e.g. ("url",)')
    return tuple(map(str, said))
