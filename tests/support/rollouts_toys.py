"""A small generated world and hand-written policies: no model, no training, exact results.

Each policy is a function of its input: the history parsed from its messages, and the seed if it samples. Most are the
exploring expert with injected mistakes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from configs.load import check
from configs.schema import FactoryConfig
from environments.alfworld.expert.explorer import expert_turn
from environments.alfworld.generation.world import GeneratedAlfworld
from environments.base import Task
from environments.complete import CompleteWorld
from environments.registry import open_world
from models.policy import Generation, History, Sampling
from rollouts.rows import StoredTrajectory, of_type, stored_trajectories
from rollouts.stages.demonstrate import demonstrate
from steca.action_formats import REACT, ActionFormat
from steca.turns import parse_turn
from steca.types import Step, Trajectory, Turn
from storage.ids import content_id
from storage.records import Record, RolloutRecord, ScoredTurnRecord

OPTIONS = {"receptacles": 6, "objects": 4}
GARBAGE = "I would rather not."
LOOK = "Thought: Where am I?\nAction: look"
GREEDY, SAMPLED = Sampling(), Sampling(temperature=1.0)


@cache
def world() -> CompleteWorld:
    return open_world(config().environment)


def text(turn: Turn) -> str:
    """A turn as the toys write it."""
    return REACT.text(turn)


def complete(own: Any, **environment: Any) -> CompleteWorld:
    """A world of a test as the stages use it."""
    return CompleteWorld(own, config(environment=environment).environment)


def config(**sections: Any) -> FactoryConfig:
    """A configuration of the small world: config(rewards={"rollouts": 3}, seed=1)."""
    environment = {"options": OPTIONS, **sections.pop("environment", {})}
    return check({"environment": environment, **sections}, "test")


def tasks(count: int, split: Any = "train") -> list[Task]:
    return world().tasks(split, count, 0)


@cache
def demonstrated(count: int, split: Any = "train") -> tuple[Record, ...]:
    """The rows of the first tasks and their expert runs."""
    return tuple(demonstrate(world(), tasks(count, split), config()))


def of_task(records: Sequence[Record], task_id: str) -> list[Record]:
    """The rows of one task, with the steps of its trajectories and the rollouts of its step rewards."""
    mine = {run.id for run in stored_trajectories(records) if run.record.task_id == task_id}
    rewards = {r.step_reward_id for r in of_type(records, ScoredTurnRecord) if r.task_id == task_id}

    def belongs(record: Record) -> bool:
        if isinstance(record, RolloutRecord):
            return record.step_reward_id in rewards
        owner = getattr(record, "task_id", None)
        return owner == task_id if owner else getattr(record, "trajectory_id", "") in mine

    return [record for record in records if belongs(record)]


@dataclass(frozen=True)
class Seen:
    """The input of a policy for one turn. `seed` is None if it is greedy."""

    first_observation: str
    steps: tuple[Step, ...]
    seed: int | None

    @property
    def texts(self) -> list[str]:
        return [step.text for step in self.steps]

    @property
    def chance(self) -> random.Random:
        """A random stream that depends on the history, and on the seed if sampling."""
        told = [(step.text, step.observation) for step in self.steps]
        return random.Random(content_id(self.first_observation, told, self.seed))


Speak = Callable[[Seen], str]


class Toy:
    """A hand-written policy. `asked` has (turns so far, seed) of every history, `sizes` the size of every batch."""

    def __init__(self, speak: Speak, digest: str = "toy", tokens: int = 7) -> None:
        self.speak, self.digest, self.tokens = speak, digest, tokens
        self.asked: list[tuple[int, int]] = []
        self.sizes: list[int] = []
        self.samplings: set[Sampling] = set()

    def act(self, histories: Sequence[History], seeds: Sequence[int], sampling: Sampling) -> list[Generation]:
        self.sizes.append(len(histories))
        self.samplings.add(sampling)
        self.asked += [(len(history) // 2, seed) for history, seed in zip(histories, seeds, strict=True)]
        return [
            Generation(self.speak(seen(history, seed, sampling)), self.tokens, "stop")
            for history, seed in zip(histories, seeds, strict=True)
        ]


def seen(history: History, seed: int, sampling: Sampling) -> Seen:
    """A history parsed from its messages, in the form that the expert takes."""
    assert [m["role"] for m in history] == ["user", "assistant"] * (len(history) // 2) + ["user"]
    said = [m["content"] for m in history]
    steps = []
    for text, observation in zip(said[1::2], said[2::2], strict=True):
        thought, action = parse_turn(text) or ("", "")
        steps.append(Step(text, thought, action, observation, "Nothing happens" not in observation, "policy"))
    return Seen(said[0], tuple(steps), seed if sampling.temperature else None)


def like_expert(now: Seen) -> str:
    turn = expert_turn(now.first_observation, now.steps)
    return text(turn) if turn else GARBAGE


def erring(chance: float, salt: int = 0) -> Speak:
    """The expert, but with this probability another turn: a look around, a walk to some place, the
    expert's own action with another thought, or no action at all."""

    def speak(now: Seen) -> str:
        draw = random.Random(f"{now.chance.random()} {salt}")
        text = like_expert(now)
        if draw.random() >= chance:
            return text
        place = draw.choice(now.first_observation.split("you see a ")[1].split(".")[0].split(", "))
        place = place.removeprefix("and ").removeprefix("a ")
        same = f"Thought: Just so.\n{text.splitlines()[-1]}"
        return draw.choice([LOOK, f"Thought: Off I go.\nAction: go to {place}", same, GARBAGE])

    return speak


def fragile(chance: float) -> Speak:
    """As `erring`, but lost for good after a turn without an action: many runs fail."""
    err = erring(chance)
    return lambda now: GARBAGE if GARBAGE in now.texts else err(now)


def always(text: str) -> Speak:
    return lambda now: text


def forever(text: str, at: int, then: str = GARBAGE) -> Speak:
    """The expert, but the turn with index `at` is `text`, and only `then` follows."""

    def speak(now: Seen) -> str:
        if len(now.steps) > at and now.steps[at].text == text:
            return then
        return text if len(now.steps) == at else like_expert(now)

    return speak


def by_task(speakers: dict[str, Speak], otherwise: Speak = like_expert) -> Speak:
    """Another speaker for each task; a task is known by its first observation."""
    return lambda now: speakers.get(now.first_observation, otherwise)(now)


def told(run: Trajectory) -> tuple[Any, ...]:
    """The content of a run, without the authors of its steps and the number of replayed ones."""
    steps = [(s.text, s.thought, s.action, s.observation, s.valid) for s in run.steps]
    return run.task_id, run.first_observation, steps, run.outcome, run.end


def executed(task: Task, texts: Sequence[str]) -> tuple[list[str], float, bool]:
    """Observations, last reward and `done` of texts played in a fresh environment."""
    _, state = world().begin(task)
    results = []
    for said in texts:
        parsed = parse_turn(said)
        result, state = world().advance(state, parsed[1] if parsed else None)
        results.append(result)
    return [r.observation for r in results], results[-1].reward, results[-1].done


def runs_of(records: Sequence[Record], kind: str) -> list[StoredTrajectory]:
    return [run for run in stored_trajectories(records) if run.record.kind == kind]


class Wordy(GeneratedAlfworld):
    """The small world with its own briefings."""

    def __init__(self, said: str) -> None:
        super().__init__(OPTIONS)
        self.said = said

    def briefing(self, task: Task, example: bool, form: ActionFormat) -> str:
        return f"{self.said} of {task.task_type}{', with an example' if example else ''}."


def unbriefed(speak: Speak, briefing_of: Callable[[Task], str], chosen: Sequence[Task]) -> Speak:
    """The same policy for a prompt: it asserts its task's briefing before the first observation."""
    prompts = {world().begin(task)[0]: briefing_of(task) for task in chosen}

    def behind(now: Seen) -> str:
        first = next(first for first in prompts if now.first_observation.endswith(f"\n\n{first}"))
        assert now.first_observation == f"{prompts[first]}\n\n{first}"
        return speak(Seen(first, now.steps, now.seed))

    return behind
