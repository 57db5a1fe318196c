"""Checks of single actions: nonsense, admissible ones, rewards and progress."""

from __future__ import annotations

import random
from collections.abc import Iterator

from environments.capabilities import AdmitsActions, MeasuresProgress
from environments.states.calling import reset, step
from rollouts.play import execute, start_of
from rollouts.world_check.finding import Finding, Sample

NONSENSE = ("", "xyzzy plugh", "go to the moon 9", '{"name": "none"}', "\n\n", "a" * 2000)
AT_A_STATE = 8
"""So many admissible actions are tried at a state."""


def check_nonsense(sample: Sample) -> Iterator[Finding]:
    """Actions that make no sense are answered, are no success, and do not raise."""
    name, task = "nonsense answered", sample.tasks[0]
    environment = sample.environment()
    accepted = []
    for action in NONSENSE:
        reset(environment, task, 0)
        result = step(environment, task, action)
        if result.reward >= 1.0:
            yield Finding(name, "fault", f"task {task.task_id}: {action[:20]!r} reached the goal")
            return
        if result.valid:
            accepted.append(action)
    if accepted:
        shown = ", ".join(repr(action[:20]) for action in accepted)
        yield Finding(
            name,
            "note",
            f"{len(accepted)} of {len(NONSENSE)} are called valid ({shown}): they count as no mistake",
        )
    else:
        yield Finding(name, "ok", f"{len(NONSENSE)} actions, none valid")


def check_admissible(sample: Sample) -> Iterator[Finding]:
    """Whether what is listed as admissible is accepted."""
    world, name = sample.world, "admissible actions"
    if not world.can(AdmitsActions):
        yield Finding(name, "not there", "policy.constrain: admissible cannot be used")
        return
    tried, draw = 0, random.Random(0)
    for task in sample.tasks:
        _, state = world.begin(task)
        for _ in range(3):
            listed = world.admissible_actions(state)
            for action in draw.sample(listed, min(AT_A_STATE, len(listed))):
                tried += 1
                result, after = world.advance(state, action)
                if not result.valid:
                    yield Finding(
                        name, "fault", f"task {task.task_id}: {action!r} is listed and has no effect"
                    )
                    return
            if not listed or result.done:
                break
            state = after
    yield Finding(name, "ok", f"{tried} listed actions, all accepted")


def check_rewards(sample: Sample) -> Iterator[Finding]:
    """Progress lies in [0, 1], and is 1 exactly where the reward is 1, where the episode ends. (Rewards are checked at
    every step.)"""
    world, name = sample.world, "rewards and progress"
    steps = 0
    ended: dict[str, bool] = {}  # by task: whether reward 1 ends the episode
    for task in sample.tasks:
        run = sample.runs.get(task.task_id)
        texts = [step.text for step in run.trajectory.steps] if run else []
        for index, episode in enumerate(
            execute(world, start_of(world, task), texts, "expert", sample.settings)
        ):
            steps += 1
            progress, reward = episode.progress, episode.trajectory.outcome
            if reward >= 1.0:
                ended[task.task_id] = episode.trajectory.end == "done"
            where = f"task {task.task_id}, step {index + 1}: progress {progress:g} at reward {reward:g}"
            if world.can(MeasuresProgress) and (progress >= 1.0) != (reward >= 1.0):
                yield Finding(name, "fault", f"{where}: it must be 1 exactly where the reward is 1")
                return
    measured = "progress measured" if world.can(MeasuresProgress) else "progress is the last reward"
    yield Finding(name, "ok", f"{steps} steps, all in [0, 1]; {measured}")
    if not_done := len(ended) - sum(ended.values()):
        yield Finding(
            "reward 1 and done",
            "note",
            f"reward 1 and not done in {not_done} of {len(ended)}: the episode goes on to the step cap",
        )
