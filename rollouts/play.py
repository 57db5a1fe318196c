"""The seam between worlds and policies: "play these episodes from these starts".

Running episodes ask the policy's turn queue for their turns, the world answers each, finished episodes make room for
waiting ones (models.turn_queue: in lockstep, or each as soon as it can). Rollouts start from an environment snapshot,
never from a replay. The result of an episode depends on its start and its seed alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from configs.schema import EnvironmentConfig, FactoryConfig
from environments.base import Environment, StepResult, Task, World
from models.policy import Generation, Message, Policy, Sampling
from models.prompts import messages, step_messages
from models.turn_queue import TurnQueue, turn_queue_of
from rollouts.prompting import briefing_of
from steca.types import Step, Trajectory
from steca.vocabulary import End, Origin, Progress, PromptStyle
from storage.ids import content_id

Finished = Callable[[int, "Played"], None]
"""Hears of each episode the moment it ends, with its place among the starts."""
RUNNING_EPISODES = 512


@dataclass(frozen=True, slots=True)
class Start:
    """A point to play on from: the executed steps and the world's state after them."""

    task: Task
    first_observation: str
    steps: tuple[Step, ...]
    snapshot: object
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Played:
    """A trajectory with the world's state at its end, the share of the goal reached there, and whether its policy might
    write admissible actions only."""

    trajectory: Trajectory
    progress: float
    snapshot: object
    constrained: bool = False

    def resume(self, task: Task, seed: int = 0) -> Start:
        """This trajectory's end as a start to play on from."""
        return Start(task, self.trajectory.first_observation, self.trajectory.steps, self.snapshot, seed)

    def with_prefix(self, steps: int) -> Played:
        """The same run, counting its first `steps` steps as replayed."""
        return replace(self, trajectory=replace(self.trajectory, prefix=steps))


@dataclass(frozen=True, slots=True)
class Wrapping:
    """How an episode is wrapped: the caps, the prompt style, (for one-turn probes) how many turns to play, and whether
    the policy may write admissible actions only."""

    environment: EnvironmentConfig
    style: PromptStyle = "plain"
    turns: int | None = None
    constrained: bool = False

    @classmethod
    def of(cls, config: FactoryConfig, turns: int | None = None) -> Wrapping:
        """As a configuration wraps the policy's episodes."""
        policy = config.policy
        return cls(config.environment, policy.prompt, turns, policy.constrain == "admissible")


def sampling_of(config: FactoryConfig, temperature: float = 0.0, top_p: float = 1.0) -> Sampling:
    """How a configuration's policy draws its turns."""
    policy = config.policy
    thinks = policy.thinking == "on"
    most = policy.max_turn_tokens + (policy.max_thinking_tokens if thinks else 0)
    return Sampling(temperature, top_p, most, policy.stop, thinks)


def seed_of(*parts: object) -> int:
    """A 63-bit seed from whatever identifies a random stream."""
    return int(content_id("seed", *parts), 16) % (1 << 63)


def end_of(steps: Sequence[Step], done: bool, wrapping: Wrapping) -> End:
    """Why an episode with these steps is over, or "running"."""
    if done:
        return "done"
    streak = wrapping.environment.invalid_streak
    if len(steps) >= streak and not any(step.valid for step in steps[-streak:]):
        return "invalid_streak"
    if len(steps) >= wrapping.environment.step_cap:
        return "step_cap"
    return "running"


def execute(
    environment: Environment, start: Start, texts: Sequence[str], origin: Origin, wrapping: Wrapping
) -> list[Played]:
    """Play given turns (whole texts) from a start: one `Played` (prefix 0) a turn, up to the episode's end."""
    environment.restore(start.snapshot)
    steps, played = start.steps, []
    for text in texts:
        result = environment.step(text)
        steps = (*steps, _step(text, result, origin))
        end = end_of(steps, result.done, wrapping)
        trajectory = Trajectory(start.task.task_id, start.first_observation, steps, result.reward, end)
        played.append(Played(trajectory, environment.progress(), environment.snapshot()))
        if end != "running":
            break
    return played


def beginning(environment: Environment, task: Task, seed: int = 0) -> Start:
    """The start of a task from scratch."""
    observation = environment.reset(task)
    return Start(task, observation, (), environment.snapshot(), seed)


def play(
    world: World,
    policy: Policy,
    starts: Sequence[Start],
    sampling: Sampling,
    wrapping: Wrapping,
    progress: Progress | None = None,
    finished: Finished | None = None,
) -> list[Played]:
    """Let the policy play every start to its end. Turn t of an episode is sampled with seed_of(start.seed, t). Where
    the policy fails, `finished` has heard of every episode that ended before."""
    environment, queue = world.environment(), turn_queue_of(policy, sampling)
    waiting = list(range(len(starts)))[::-1]
    running: dict[int, _Episode] = {}
    results: dict[int, Played] = {}
    try:
        while waiting or running:
            while waiting and len(running) < RUNNING_EPISODES:
                index = waiting.pop()
                running[index] = _Episode.begun(index, starts[index], world, wrapping.style)
                _ask(queue, environment, running[index], wrapping)
            for index, turn in queue.answers():
                episode = running[index]
                _advance(environment, episode, turn, wrapping)
                if episode.end == "running" and episode.turns != wrapping.turns:
                    _ask(queue, environment, episode, wrapping)
                    continue
                results[index] = running.pop(index).finished(wrapping.constrained)
                if finished:
                    finished(index, results[index])
            if progress:
                progress(len(results), len(starts))
    finally:
        queue.cancel()
    return [results[index] for index in range(len(starts))]


@dataclass(slots=True)
class _Episode:
    index: int
    start: Start
    steps: list[Step]
    history: list[Message]
    snapshot: object
    outcome: float = 0.0
    progress: float = 0.0
    end: End = "running"
    turns: int = field(default=0)

    @classmethod
    def begun(cls, index: int, start: Start, world: World, style: PromptStyle) -> _Episode:
        briefing = briefing_of(world, start.task, style)
        history = messages(start.first_observation, start.steps, briefing)
        return cls(index, start, list(start.steps), history, start.snapshot)

    def finished(self, constrained: bool) -> Played:
        start = self.start
        trajectory = Trajectory(
            start.task.task_id,
            start.first_observation,
            tuple(self.steps),
            self.outcome,
            self.end,
            len(start.steps),
        )
        return Played(trajectory, self.progress, self.snapshot, constrained)


def _ask(queue: TurnQueue, environment: Environment, episode: _Episode, wrapping: Wrapping) -> None:
    choices = None
    if wrapping.constrained:
        environment.restore(episode.snapshot)
        choices = environment.admissible_actions()
    queue.ask(episode.index, episode.history, _turn_seed(episode.start.seed, len(episode.steps)), choices)


def _advance(environment: Environment, episode: _Episode, turn: Generation, wrapping: Wrapping) -> None:
    environment.restore(episode.snapshot)
    result = environment.step(turn.text)
    step = _step(turn.text, result, "policy", turn)
    episode.steps.append(step)
    episode.history += step_messages(step)
    episode.turns += 1
    episode.outcome = result.reward
    episode.end = end_of(episode.steps, result.done, wrapping)
    episode.snapshot = environment.snapshot()
    if episode.end != "running" or episode.turns == wrapping.turns:
        episode.progress = environment.progress()


def _turn_seed(seed: int, turn: int) -> int:
    # splitmix64: one cheap, well-mixed stream a turn; hashing JSON for every turn would cost more than the world
    value = (seed + 0x9E3779B97F4A7C15 * (turn + 1)) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return value ^ (value >> 31)


def _step(text: str, result: StepResult, origin: Origin, generation: Generation | None = None) -> Step:
    wrote = generation or Generation(text, 0, "stop")
    return Step(
        text,
        result.thought,
        result.action,
        result.observation,
        result.valid,
        origin,
        wrote.tokens,
        wrote.thinking,
        wrote.thinking_tokens,
    )


def as_origin(steps: Sequence[Step], origin: Origin) -> tuple[Step, ...]:
    """The same steps, with another author on record."""
    return tuple(replace(step, origin=origin) for step in steps)
