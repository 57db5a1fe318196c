"""The runs that checks use: the expert's, and where it has none, others that do something."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

from configs.schema import PolicyConfig
from environments.base import Task
from environments.capabilities import AdmitsActions
from environments.complete import CompleteWorld
from rollouts.play import EpisodeSettings, PlayedEpisode, execute, start_of
from rollouts.stages.demonstrate import expert_run
from rollouts.world_check.finding import Sample
from steca.types import Turn

RANDOM_STEPS = 8


def sample_of(
    world: CompleteWorld,
    settings: EpisodeSettings,
    tasks: Sequence[Task],
    policy: PolicyConfig | None,
    doing: Callable[[str], None],
) -> Sample:
    """The sample with a run of every task. `doing` is called before each."""
    experts: dict[str, tuple[PlayedEpisode | None, str]] = {}
    runs: dict[str, PlayedEpisode] = {}
    sources: Counter[str] = Counter()
    for number, task in enumerate(tasks, start=1):
        doing(f"expert run {number} of {len(tasks)}, task {task.task_id}")
        run, _ = experts[task.task_id] = expert_run(world, task, settings)
        source, run = _run_to_check(world, task, settings, run)
        if run:
            runs[task.task_id] = run
            sources[source] += 1
    told = ", ".join(f"{count} {source}" for source, count in sources.items())
    return Sample(world, settings, tuple(tasks), runs, experts, told, policy)


def _run_to_check(
    world: CompleteWorld, task: Task, settings: EpisodeSettings, expert: PlayedEpisode | None
) -> tuple[str, PlayedEpisode | None]:
    """Where a run comes from, and the run. A recorded one that diverges is played on to its end."""
    diverged = expert is not None and expert.trajectory.end == "replay_diverged"
    if expert and not (world.recordings and diverged):
        return "of the expert", expert
    if world.recordings and (run := _recorded_turns(world, task, settings)):
        return "with recorded turns", run
    listed = world.can(AdmitsActions)
    return f"with {'admissible actions' if listed else 'words of the first observation'}", _random_run(
        world, task, settings
    )


def _recorded_turns(world: CompleteWorld, task: Task, settings: EpisodeSettings) -> PlayedEpisode | None:
    """The turns that were recorded for the task, else those of any recorded run."""
    assert world.recordings, "asked by the caller"
    start = start_of(world, task)
    found = world.recording(task, start.first_observation)
    found = found or random.Random(task.task_id).choice(world.recordings.runs())
    played = execute(world, start, [world.form.text(turn) for turn in found.turns], "expert", settings)
    return played[-1] if played else None


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
