"""Plays episodes: a policy acts in a world, from given starts.

Running episodes request their turns from the policy's turn queue (models.turn_queue: in lockstep, or each as soon as it
is ready). A finished episode makes room for a waiting one. Rollouts start from an environment snapshot, never from a
replay. The result of an episode depends on its start and seed only.
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

OnFinished = Callable[[int, "PlayedEpisode"], None]
"""Called as soon as an episode ends, with its index among the starts."""
MAX_RUNNING = 512
"""Most episodes running at once; the others wait."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where an episode starts or continues: the executed steps, and the world's state after them."""

    task: Task
    first_observation: str
    steps: tuple[Step, ...]
    snapshot: object
    seed: int = 0


@dataclass(frozen=True, slots=True)
class PlayedEpisode:
    """A trajectory with the world's state at its end, the share of the goal's conditions reached there, and whether the
    policy was constrained to admissible actions."""

    trajectory: Trajectory
    progress: float
    snapshot: object
    constrained: bool = False

    def resume(self, task: Task, seed: int = 0) -> Start:
        """A start that continues from the end of this trajectory."""
        return Start(task, self.trajectory.first_observation, self.trajectory.steps, self.snapshot, seed)

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


def end_of(steps: Sequence[Step], done: bool, settings: EpisodeSettings) -> End:
    """Why an episode with these steps has ended, or "running"."""
    if done:
        return "done"
    streak = settings.environment.invalid_streak
    if len(steps) >= streak and not any(step.valid for step in steps[-streak:]):
        return "invalid_streak"
    if len(steps) >= settings.environment.step_cap:
        return "step_cap"
    return "running"


def execute(
    environment: Environment, start: Start, texts: Sequence[str], origin: Origin, settings: EpisodeSettings
) -> list[PlayedEpisode]:
    """Play the given turns (whole texts) from a start, up to the episode's end. Returns the episode after each turn,
    with prefix 0."""
    environment.restore(start.snapshot)
    steps, played = start.steps, []
    for text in texts:
        result = environment.step(text)
        steps = (*steps, _step(text, result, origin))
        end = end_of(steps, result.done, settings)
        trajectory = Trajectory(start.task.task_id, start.first_observation, steps, result.reward, end)
        played.append(PlayedEpisode(trajectory, environment.progress(), environment.snapshot()))
        if end != "running":
            break
    return played


def start_of(environment: Environment, task: Task, seed: int = 0) -> Start:
    """The start of a task from scratch."""
    observation = environment.reset(task)
    return Start(task, observation, (), environment.snapshot(), seed)


def play(
    world: World,
    policy: Policy,
    starts: Sequence[Start],
    sampling: Sampling,
    settings: EpisodeSettings,
    progress: Progress | None = None,
    on_finished: OnFinished | None = None,
) -> list[PlayedEpisode]:
    """Let the policy play every start to its end. Each turn has a seed of its own, derived from the start's seed and
    the turn's index. If the policy raises, `on_finished` has been called for every episode that ended before."""
    environment, queue = world.environment(), turn_queue_of(policy, sampling)
    waiting = list(range(len(starts)))[::-1]
    running: dict[int, _Episode] = {}
    results: dict[int, PlayedEpisode] = {}
    try:
        while waiting or running:
            while waiting and len(running) < MAX_RUNNING:
                index = waiting.pop()
                running[index] = _Episode.started(index, starts[index], world, settings.style)
                _ask(queue, environment, running[index], settings)
            for index, turn in queue.answers():
                episode = running[index]
                _advance(environment, episode, turn, settings)
                if episode.end == "running" and episode.turns != settings.turns:
                    _ask(queue, environment, episode, settings)
                    continue
                results[index] = running.pop(index).finished(settings.constrained)
                if on_finished:
                    on_finished(index, results[index])
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
    def started(cls, index: int, start: Start, world: World, style: PromptStyle) -> _Episode:
        briefing = briefing_of(world, start.task, style)
        history = messages(start.first_observation, start.steps, briefing)
        return cls(index, start, list(start.steps), history, start.snapshot)

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
        return PlayedEpisode(trajectory, self.progress, self.snapshot, constrained)


def _ask(queue: TurnQueue, environment: Environment, episode: _Episode, settings: EpisodeSettings) -> None:
    choices = None
    if settings.constrained:
        environment.restore(episode.snapshot)
        choices = environment.admissible_actions()
    queue.ask(episode.index, episode.history, _turn_seed(episode.start.seed, len(episode.steps)), choices)


def _advance(
    environment: Environment, episode: _Episode, turn: Generation, settings: EpisodeSettings
) -> None:
    environment.restore(episode.snapshot)
    result = environment.step(turn.text)
    step = _step(turn.text, result, "policy", turn)
    episode.steps.append(step)
    episode.history += step_messages(step)
    episode.turns += 1
    episode.outcome = result.reward
    episode.end = end_of(episode.steps, result.done, settings)
    episode.snapshot = environment.snapshot()
    if episode.end != "running" or episode.turns == settings.turns:
        episode.progress = environment.progress()


def _turn_seed(seed: int, turn: int) -> int:
    # splitmix64: a cheap, well-mixed seed per turn; hashing JSON for every turn would cost more than the world
    value = (seed + 0x9E3779B97F4A7C15 * (turn + 1)) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return value ^ (value >> 31)


def _step(text: str, result: StepResult, origin: Origin, generation: Generation | None = None) -> Step:
    generation = generation or Generation(text, 0, "stop")
    return Step(
        text,
        result.thought,
        result.action,
        result.observation,
        result.valid,
        origin,
        generation.tokens,
        generation.thinking,
        generation.thinking_tokens,
    )


def with_origin(steps: Sequence[Step], origin: Origin) -> tuple[Step, ...]:
    """The same steps, attributed to another author."""
    return tuple(replace(step, origin=origin) for step in steps)
