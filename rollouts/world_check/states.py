"""Checks that an episode is a function of task and actions, and that states do not disturb each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from environments.base import Environment, StepResult, Task
from environments.capabilities import Snapshots
from environments.states.advice import COPIED, REPEATABLE, SHARES_NOTHING, differing
from environments.states.calling import reset, step
from rollouts.world_check.finding import Finding, Sample


def check_determinism(sample: Sample) -> Iterator[Finding]:
    """The actions of every run, in a new environment and once more in the same one."""
    name = "same answers again"
    environment = sample.environment()
    for task, actions in _actions(sample):
        once, again = _played(environment, task, actions), _played(environment, task, actions)
        if difference := _difference(sample, actions, once, again):
            yield Finding(name, "fault", f"task {task.task_id}: {difference}: {REPEATABLE}")
            return
    yield Finding(name, "ok", f"{len(sample.runs)} runs, played twice ({sample.sources})")


def check_independence(sample: Sample) -> Iterator[Finding]:
    """Two environments, step by step in turn, against each alone."""
    name = "environments independent"
    pairs = list(_actions(sample))
    if len(pairs) < 2:
        yield Finding(name, "not there", "needs two tasks")
        return
    (one, first), (other, second) = pairs[0], pairs[-1]
    alone = _played(sample.environment(), one, first)
    a, b = sample.environment(), sample.environment()
    start = reset(a, one, 0)
    reset(b, other, 0)
    answers: list[StepResult] = []
    for index, action in enumerate(first):
        answers.append(step(a, one, action))
        if index < len(second):
            step(b, other, second[index])
    if difference := _difference(sample, first, alone, (start, answers)):
        beside = f"task {one.task_id}, with another environment playing beside it"
        yield Finding(name, "fault", f"{beside}: {difference}: {SHARES_NOTHING}")
    else:
        yield Finding(name, "ok", "two episodes in turn, against one alone")


def check_snapshots(sample: Sample) -> Iterator[Finding]:
    """From a snapshot in the middle of a run, its rest is played twice, and once in another environment."""
    name, world = "snapshots", sample.world
    if not world.can(Snapshots):
        yield Finding(name, "note", "none: states are histories that are played again")
        return
    environment, another = sample.environment(), sample.environment()
    for task, actions in _actions(sample):
        for middle in {0, len(actions) // 2}:
            if fault := _misbehaves(sample, environment, another, task, actions, middle):
                yield Finding(name, "fault", f"task {task.task_id}: {fault}")
                return
    yield Finding(name, "ok", f"{len(sample.runs)} runs: restored twice, and in another environment")


def _misbehaves(
    sample: Sample,
    environment: Environment,
    another: Environment,
    task: Task,
    actions: Sequence[str],
    middle: int,
) -> str | None:
    reset(environment, task, 0)
    for action in actions[:middle]:
        step(environment, task, action)
    kept, rest = cast(Snapshots, environment).snapshot(), actions[middle:]
    first = "", [step(environment, task, action) for action in rest]
    for where, how in ((environment, "once"), (environment, "twice"), (another, "in another environment")):
        cast(Snapshots, where).restore(kept)
        again = "", [step(where, task, action) for action in rest]
        if difference := _difference(sample, rest, first, again):
            return f"after the snapshot at step {middle} was restored {how}, {difference}: {COPIED}"
    return None


def _actions(sample: Sample) -> Iterator[tuple[Task, Sequence[str]]]:
    for task in sample.tasks:
        if run := sample.runs.get(task.task_id):
            yield task, [step.action for step in run.trajectory.steps if step.action]


def _played(environment: Environment, task: Task, actions: Sequence[str]) -> tuple[str, list[StepResult]]:
    first = reset(environment, task, 0)
    return first, [step(environment, task, action) for action in actions]


def _difference(
    sample: Sample,
    actions: Sequence[str],
    once: tuple[str, Sequence[StepResult]],
    again: tuple[str, Sequence[StepResult]],
) -> str | None:
    same = sample.world.same
    if not same(once[0], again[0]):
        return "the first observation was {} and is {}".format(*differing(once[0], again[0]))
    for index, (one, other) in enumerate(zip(once[1], again[1], strict=True)):
        if not same(one.observation, other.observation):
            then, now = differing(one.observation, other.observation)
            return f"step {index + 1}, {actions[index]!r}, was answered {then} and is answered {now}"
        if (one.reward, one.done, one.valid) != (other.reward, other.done, other.valid):
            return f"step {index + 1}, {actions[index]!r}, had {_told(one)} and has {_told(other)}"
    return None


def _told(result: StepResult) -> str:
    return f"reward {result.reward:g}, done {result.done}, valid {result.valid}"
