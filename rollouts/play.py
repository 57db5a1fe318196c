"""Plays episodes: a policy acts in a world, from given starts.

Running episodes request their turns from the policy's turn queue (models.turn_queue: in lockstep, or each as soon as it
is ready). A finished episode makes room for a waiting one, and may have further episodes join those that run. The
result of an episode depends on its start and seed only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial

from configs.schema import EnvironmentConfig, FactoryConfig
from environments.base import EnvironmentFault, EpisodeFault, StepResult, Task
from environments.complete import CompleteWorld
from environments.states.attempts import Failures
from environments.states.state import State
from models.policy import Generation, Message, Policy, Sampling
from models.prompts import messages, step_messages
from models.turn_queue import TurnQueue, turn_queue_of
from rollouts.prompting import briefing_of
from rollouts.stepping import stepper_of
from steca.types import Step, Trajectory
from steca.vocabulary import End, Origin, Progress, PromptStyle
from storage.ids import content_id

OnFinished = Callable[[int, "PlayedEpisode"], "Iterable[Start] | None"]
"""Called as soon as an episode ends, with its index among the starts. The starts that it returns are played too, and
numbered on."""
MAX_RUNNING = 512
"""Most episodes running at once; the others wait. A world with fewer live environments runs fewer, over all batches
that play beside each other."""
MAX_LOST = 8
"""So many episodes lost in a row, over all calls of a stage, mean that the world is broken."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where an episode starts or continues: the executed steps, and the world's state after them (None: it cannot be
    continued)."""

    task: Task
    first_observation: str
    steps: tuple[Step, ...]
    state: State | None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class PlayedEpisode:
    """A trajectory with the world's state at its end, the share of the goal's conditions reached there, and whether the
    policy was constrained to admissible actions."""

    trajectory: Trajectory
    progress: float
    state: State | None
    constrained: bool = False

    def resume(self, task: Task, seed: int = 0) -> Start:
        """A start that continues from the end of this trajectory."""
        return Start(task, self.trajectory.first_observation, self.trajectory.steps, self.state, seed)

    def with_prefix(self, steps: int) -> PlayedEpisode:
        """The same run, counting its first `steps` steps as replayed."""
        return replace(self, trajectory=replace(self.trajectory, prefix=steps))


@dataclass(frozen=True, slots=True)
class EpisodeSettings:
    """How episodes are played: the environment's caps, the prompt style, how many turns to play (`turns`, for one-turn
    probes; None: to the end), and whether the policy is constrained to admissible actions."""

    environment: EnvironmentConfig
    style: PromptStyle = "plain"
    turns: int | None = None
    constrained: bool = False

    @classmethod
    def of(cls, config: FactoryConfig, turns: int | None = None) -> EpisodeSettings:
        """The settings that a configuration gives the policy's episodes."""
        policy = config.policy
        return cls(config.environment, policy.prompt, turns, policy.constrain == "admissible")


def sampling_of(config: FactoryConfig, temperature: float = 0.0, top_p: float = 1.0) -> Sampling:
    """The sampling parameters of a configuration's policy."""
    policy = config.policy
    thinks = policy.thinking == "on"
    most = policy.max_turn_tokens + (policy.max_thinking_tokens if thinks else 0)
    return Sampling(temperature, top_p, most, policy.stop, thinks)


def seed_of(*parts: object) -> int:
    """A 63-bit seed from the values that identify a random stream."""
    return int(content_id("seed", *parts), 16) % (1 << 63)


def end_of(steps: Sequence[Step], done: bool, step_cap: int, settings: EpisodeSettings) -> End:
    """Why an episode with these steps has ended, or "running". `step_cap`: most steps of its task."""
    if done:
        return "done"
    streak = settings.environment.invalid_streak
    if len(steps) >= streak and not any(step.valid for step in steps[-streak:]):
        return "invalid_streak"
    if len(steps) >= step_cap:
        return "step_cap"
    return "running"


def execute(
    world: CompleteWorld, start: Start, texts: Sequence[str], origin: Origin, settings: EpisodeSettings
) -> list[PlayedEpisode]:
    """Play the given turns (whole texts) from a start, up to the episode's end. Returns the episode after each turn,
    with prefix 0. Raises EpisodeFault where the world cannot continue it."""
    steps, state, played = start.steps, _state_of(start), []
    step_cap = world.step_cap(start.task, settings.environment.step_cap)
    for text in texts:
        step, result, state = _turn(world, state, Generation(text, 0, "stop"), origin)
        steps = (*steps, step)
        end = end_of(steps, result.done, step_cap, settings)
        trajectory = Trajectory(start.task.task_id, start.first_observation, steps, result.reward, end)
        played.append(PlayedEpisode(trajectory, world.progress(state), state))
        if end != "running":
            break
    return played


def start_of(world: CompleteWorld, task: Task, seed: int = 0) -> Start:
    """The start of a task from scratch."""
    observation, state = world.begin(task)
    return Start(task, observation, (), state, seed)


def _state_of(start: Start) -> State:
    assert start.state, "only ids are made from a start without a state"
    return start.state


def _turn(
    world: CompleteWorld, state: State, written: Generation, origin: Origin
) -> tuple[Step, StepResult, State]:
    """Play one turn: the step, what the world said of it, and the state after it."""
    parsed = world.form.parse(written.text)
    thought, action = parsed or ("", "")
    result, after = world.advance(state, action if parsed else None)
    step = Step(
        written.text,
        thought,
        action,
        result.observation,
        result.valid,
        origin,
        written.tokens,
        written.thinking,
        written.thinking_tokens,
    )
    return step, result, after


def play(
    world: CompleteWorld,
    policy: Policy,
    starts: Sequence[Start],
    sampling: Sampling,
    settings: EpisodeSettings,
    progress: Progress | None = None,
    on_finished: OnFinished | None = None,
) -> list[PlayedEpisode]:
    """Let the policy play every start to its end, and those that `on_finished` adds. Each turn has a seed of its own,
    derived from the start's seed and the turn's index. If the policy raises, `on_finished` has been called for every
    episode that ended before. Raises EnvironmentFault if the world fails, or loses one episode after another."""
    queue = turn_queue_of(policy, sampling)
    stepper = stepper_of(world.blocking, min(MAX_RUNNING, world.live_environments), queue)
    results = _Results(starts, on_finished, world.failures)
    running: dict[int, _Episode] = {}
    with world.places.share() as places, closing(stepper), ExitStack() as at_end:
        at_end.callback(queue.cancel)
        while results.waiting or running:
            while results.waiting and len(running) < MAX_RUNNING and places.take():
                index = results.waiting.popleft()
                running[index] = _Episode.started(index, results.starts[index], world, settings)
                _ask(queue, world, running[index], settings)
            for index, turn in queue.answers():
                stepper.submit(index, partial(_advance, world, running[index], turn, settings))
            for index in stepper.done():
                episode = running[index]
                if episode.end == "running" and episode.turns != settings.turns:
                    _ask(queue, world, episode, settings)
                    continue
                world.ended(episode.state)
                places.give()
                results.add(running.pop(index), settings.constrained)
            if not (results.waiting or running):
                results.tell_lost()
            if progress:
                progress(len(results.of), len(results.starts))
    return [results.of[index] for index in range(len(results.starts))]


class _Results:
    """The starts, and the finished episodes. Those that the world lost are told about once another one was finished: if
    all that follow are lost too, the world is broken, and nothing of that is to be stored."""

    def __init__(self, starts: Iterable[Start], on_finished: OnFinished | None, failures: Failures) -> None:
        self.starts = list(starts)
        self.waiting = deque(range(len(self.starts)))
        self.of: dict[int, PlayedEpisode] = {}
        self._failures = failures
        self._on_finished = on_finished
        self._lost: list[_Episode] = []

    def add(self, episode: _Episode, constrained: bool) -> None:
        self.of[episode.index] = episode.finished(constrained)
        if episode.end == "environment_fault":
            self._lost.append(episode)
            one_more_lost(self._failures, episode.fault)
            return
        self._failures.in_a_row = 0
        self.tell_lost()
        self._tell(episode)

    def tell_lost(self) -> None:
        lost, self._lost = self._lost, []
        for episode in lost:
            self._tell(episode)

    def _tell(self, episode: _Episode) -> None:
        if self._on_finished:
            more = list(self._on_finished(episode.index, self.of[episode.index]) or ())
            self.waiting.extend(range(len(self.starts), len(self.starts) + len(more)))
            self.starts += more


def one_more_lost(failures: Failures, fault: str) -> None:
    """Count an episode that was lost after others, of this call and of those before. Raises EnvironmentFault for a
    world that loses one after another."""
    failures.in_a_row += 1
    if failures.in_a_row >= MAX_LOST:
        raise EnvironmentFault(
            f"the world lost {failures.in_a_row} episodes in a row, the last one: {fault}; once it plays again, the "
            "same command goes on from the last finished batch"
        )


@dataclass(slots=True)
class _Episode:
    index: int
    start: Start
    steps: list[Step]
    history: list[Message]
    state: State
    step_cap: int
    outcome: float = 0.0
    progress: float = 0.0
    end: End = "running"
    turns: int = field(default=0)
    fault: str = ""

    @classmethod
    def started(cls, index: int, start: Start, world: CompleteWorld, settings: EpisodeSettings) -> _Episode:
        briefing = briefing_of(world, start.task, settings.style)
        history = messages(start.first_observation, start.steps, briefing)
        state = _state_of(start)
        step_cap = world.step_cap(start.task, settings.environment.step_cap)
        return cls(index, start, list(start.steps), history, state, step_cap, state.reward)

    def finished(self, constrained: bool) -> PlayedEpisode:
        start = self.start
        trajectory = Trajectory(
            start.task.task_id,
            start.first_observation,
            tuple(self.steps),
            self.outcome,
            self.end,
            len(start.steps),
        )
        return PlayedEpisode(trajectory, self.progress, self.state, constrained)


def _ask(queue: TurnQueue, world: CompleteWorld, episode: _Episode, settings: EpisodeSettings) -> None:
    choices = world.admissible_actions(episode.state) if settings.constrained else None
    queue.ask(episode.index, episode.history, _turn_seed(episode.start.seed, len(episode.steps)), choices)


def _advance(world: CompleteWorld, episode: _Episode, turn: Generation, settings: EpisodeSettings) -> None:
    """Play a turn. An episode that the world cannot continue ends as it stands."""
    try:
        step, result, episode.state = _turn(world, episode.state, turn, "policy")
        episode.steps.append(step)
        episode.history += step_messages(step)
        episode.turns += 1
        episode.outcome = result.reward
        episode.end = end_of(episode.steps, result.done, episode.step_cap, settings)
        if episode.end != "running" or episode.turns == settings.turns:
            episode.progress = world.progress(episode.state)
    except EpisodeFault as fault:
        episode.end, episode.fault, episode.progress = "environment_fault", str(fault), episode.outcome
        world.failures.lose(episode.start.task, fault)


def _turn_seed(seed: int, turn: int) -> int:
    # splitmix64: a cheap, well-mixed seed per turn; hashing JSON for every turn would cost more than the world
    value = (seed + 0x9E3779B97F4A7C15 * (turn + 1)) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return value ^ (value >> 31)


def with_origin(steps: Sequence[Step], origin: Origin) -> tuple[Step, ...]:
    """The same steps, attributed to another author."""
    return tuple(replace(step, origin=origin) for step in steps)
