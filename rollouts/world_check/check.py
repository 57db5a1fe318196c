"""All checks of a world, one after the other."""

from __future__ import annotations

import random
from collections.abc import Iterator

from environments.base import EnvironmentFault, Task
from environments.capabilities import AdmitsActions
from environments.complete import CompleteWorld
from rollouts.play import EpisodeSettings, PlayedEpisode, execute, start_of
from rollouts.stages.demonstrate import expert_run
from rollouts.world_check.actions import check_admissible, check_nonsense, check_rewards
from rollouts.world_check.experts import check_expert, check_grounding, check_planner
from rollouts.world_check.finding import Check, Finding, Sample, guarded
from rollouts.world_check.speed import check_speed
from rollouts.world_check.states import check_determinism, check_independence, check_snapshots
from rollouts.world_check.tasks import check_tasks, listed
from steca.types import Turn
from steca.vocabulary import TRAIN

CHECKS: dict[str, Check] = {
    "tasks": check_tasks,
    "same answers again": check_determinism,
    "environments independent": check_independence,
    "snapshots": check_snapshots,
    "nonsense answered": check_nonsense,
    "admissible actions": check_admissible,
    "rewards and progress": check_rewards,
    "expert": check_expert,
    "thoughts grounded": check_grounding,
    "planner": check_planner,
    "speed": check_speed,
}
RANDOM_STEPS = 8


def check_world(world: CompleteWorld, settings: EpisodeSettings, tasks: int) -> Iterator[Finding]:
    """Every finding, as soon as it is there. `tasks`: how many training tasks are used."""
    try:
        yield Finding("version", "ok", f"{world.version} (raise it when results may change)")
        sample = _sample(world, settings, listed(world, TRAIN, tasks))
    except EnvironmentFault as fault:
        yield Finding("start", "fault", str(fault))
        return
    for name, check in CHECKS.items():
        yield from guarded(name, check)(sample)


def _sample(world: CompleteWorld, settings: EpisodeSettings, tasks: list[Task]) -> Sample:
    runs: dict[str, PlayedEpisode] = {}
    for task in tasks:
        run, _ = expert_run(world, task, settings)
        run = run or _random_run(world, task, settings)
        if run:
            runs[task.task_id] = run
    return Sample(world, settings, tuple(tasks), runs)


def _random_run(world: CompleteWorld, task: Task, settings: EpisodeSettings) -> PlayedEpisode | None:
    """Admissible actions drawn at random; without such a list, words of the first observation."""
    draw = random.Random(task.task_id)
    start, last = start_of(world, task), None
    for _ in range(RANDOM_STEPS):
        assert start.state, "it was just played"
        choices = world.admissible_actions(start.state) if world.can(AdmitsActions) else []
        choices = choices or start.first_observation.split() or ["look"]
        text = world.form.text(Turn("", draw.choice(choices)))
        last = execute(world, start, [text], "expert", settings)[-1]
        if last.trajectory.end != "running":
            break
        start = last.resume(task)
    return last
