"""A run played in the world: whether it reaches the goal, and where the world answers otherwise than recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from environments.base import EpisodeFault
from environments.complete import CompleteWorld
from environments.recorded.recording import Recording
from environments.states.attempts import is_transient
from formats.importing.matching import Place
from formats.importing.verdicts import SetAside
from rollouts.play import EpisodeSettings, PlayedEpisode, one_more_lost, start_of
from rollouts.stages.demonstrate import recorded_run
from steca.vocabulary import END_WITHOUT_SUCCESS


def first_that_wins(
    world: CompleteWorld, places: Sequence[Place], run: Recording, settings: EpisodeSettings
) -> tuple[Place, PlayedEpisode]:
    """The task where a run reaches the goal and is answered as recorded. Raises SetAside if there is none, with the
    reason of the task where it came farthest; EnvironmentFault if the world loses one episode after another."""
    worst: tuple[int, SetAside] | None = None
    for place in places:
        steps, played = _tried(world, place, run, settings)
        if isinstance(played, PlayedEpisode):
            return place, played
        if worst is None or steps > worst[0]:
            worst = steps, played
    assert worst, "there is a task"
    raise worst[1]


def _tried(
    world: CompleteWorld, place: Place, run: Recording, settings: EpisodeSettings
) -> tuple[int, PlayedEpisode | SetAside]:
    """How many turns were played, and the episode that won or why there is none."""
    try:
        episode, problem = recorded_run(world, start_of(world, place.task), replace(run, line=0), settings)
    except EpisodeFault as fault:
        if is_transient(fault):
            world.failures.lose(place.task, fault)
            one_more_lost(world.failures, f"task {place.task.task_id}: {fault}")
        return 0, SetAside("not played", f"could not be played: {fault}")
    world.failures.in_a_row = 0
    if episode is None:
        return 0, SetAside("no goal", "has no turn")
    steps = len(episode.trajectory.steps)
    if problem:
        return steps, SetAside("answered otherwise", f"{problem} (task {place.task.task_id})")
    if not episode.trajectory.success:
        return steps, SetAside("no goal", _no_goal(world, place, run, episode, settings))
    return steps, episode


def _no_goal(
    world: CompleteWorld, place: Place, run: Recording, episode: PlayedEpisode, settings: EpisodeSettings
) -> str:
    end, steps = episode.trajectory.end, len(episode.trajectory.steps)
    cap = world.step_cap(place.task, settings.environment.step_cap)
    if end == "step_cap" and len(run.turns) > cap:
        most = settings.environment.step_cap
        advice = f": raise environment.step_cap ({most})" if cap == most else ", as the world says"
        return f"has {len(run.turns)} turns, and an episode ends after {cap}{advice}"
    why = "its turns end before" if end == "running" else END_WITHOUT_SUCCESS[end]
    reward = episode.trajectory.outcome
    return f"does not reach the goal of task {place.task.task_id} in {steps} steps (reward {reward:g}): {why}"
