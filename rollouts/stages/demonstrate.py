"""Stage demonstrate: the expert's run of every task.

A successful run is played again from its states before it is used: later stages continue from these states, so a world
whose answers change, or whose snapshots change with later steps, is noticed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest

from configs.schema import FactoryConfig
from environments.base import EnvironmentFault, EpisodeFault, Task
from environments.capabilities import Snapshots
from environments.complete import CompleteWorld
from environments.recorded.recording import Recording
from environments.states.advice import COPIED, SHARES_NOTHING, differing
from environments.states.attempts import is_transient
from rollouts.play import (
    EpisodeSettings,
    PlayedEpisode,
    Start,
    execute,
    one_more_lost,
    start_of,
)
from rollouts.rows import trajectory_records
from steca.types import Step
from steca.vocabulary import Progress
from storage.records import Record, TaskRecord

MOST_LINES = 5
"""So many problems of a batch are told in full."""


def demonstrate(
    world: CompleteWorld,
    tasks: Sequence[Task],
    config: FactoryConfig,
    progress: Progress | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> list[Record]:
    """Rows of the tasks and of the expert's executed runs. A task that the expert cannot finish is stored with its
    failed run; no training stage uses it. `log` gets a line for a run that cannot be used because the world answers
    otherwise than recorded, or than when it was played first. Raises EnvironmentFault if one run after another is lost
    to a failed connection."""
    settings, failures = EpisodeSettings(config.environment), world.failures
    records: list[Record] = []
    problems: list[str] = []
    won: list[tuple[PlayedEpisode, Task]] = []
    for number, task in enumerate(tasks):
        before = failures.lost
        run, problem = expert_run(world, task, settings)
        if failures.lost > before:
            one_more_lost(failures, f"task {task.task_id}: {problem}")
        else:
            failures.in_a_row = 0
        records.append(_task_record(task))
        if run:
            records += trajectory_records(run, "expert", None)[1]
        if run and run.trajectory.success and len(won) < 2:
            won.append((run, task))
            if len(won) == 2:
                _refuse_shared(world, won, settings)
        if problem:
            problems.append(f"task {task.task_id}: {problem}")
        if progress:
            progress(number + 1, len(tasks))
    for line in problems[:MOST_LINES]:
        log(f"expert run not used: {line}")
    if len(problems) > MOST_LINES:
        log(f"expert runs not used: {len(problems) - MOST_LINES} more of this batch")
    return records


def expert_run(
    world: CompleteWorld, task: Task, settings: EpisodeSettings
) -> tuple[PlayedEpisode | None, str]:
    """The expert's run from scratch, and why it cannot be used ("" if it can, or simply fails): the recorded turns if
    there are any, else the expert's own. One that cannot be repeated ends "replay_diverged", and is no success. None
    without any turn, and where the world cannot play it: a failed connection counts as an episode lost."""
    try:
        start = start_of(world, task)
        recording = world.recording(task, start.first_observation)
        if recording:
            run, problem = recorded_run(world, start, recording, settings)
        else:
            run, problem = continue_expert(world, start, settings), ""
        if run and run.trajectory.success and not problem:
            problem = _difference_when_repeated(world, start, run, settings)
    except EpisodeFault as fault:
        if is_transient(fault):
            world.failures.lose(task, fault)
        return None, str(fault).removeprefix(f"task {task.task_id}").lstrip(":, ")
    if run and problem:
        run = replace(run, trajectory=replace(run.trajectory, outcome=0.0, end="replay_diverged"))
    return run, problem


def continue_expert(world: CompleteWorld, start: Start, settings: EpisodeSettings) -> PlayedEpisode | None:
    """The expert plays from a start to the end; None if it has no turn at the start already."""
    last: PlayedEpisode | None = None
    while last is None or last.trajectory.end == "running":
        assert start.state, "it was just played"
        turn = world.expert_turn(start.state, start.first_observation, start.steps)
        if turn is None:
            return last
        last = execute(world, start, [world.form.text(turn)], "expert", settings)[-1]
        start = last.resume(start.task)
    return last


def recorded_run(
    world: CompleteWorld, start: Start, recording: Recording, settings: EpisodeSettings
) -> tuple[PlayedEpisode | None, str]:
    """The recorded turns, played up to the first answer that is not the recorded one; and what is different there, ""
    if nothing is. None without any turn. Raises EpisodeFault where the world cannot play it."""
    texts = [world.form.text(turn) for turn in recording.turns]
    played = execute(world, start, texts, "expert", settings)
    for index, (episode, answer) in enumerate(zip(played, recording.answers, strict=False)):
        step = episode.trajectory.steps[-1]
        if answer is not None and not world.same(_plain(answer), step.observation.strip()):
            line = f"line {recording.line}: " if recording.line else ""
            return episode, f"{line}{_changed(index, step, answer, step.observation)}"
    return (played[-1], "") if played else (None, "")


def _plain(answer: str) -> str:
    return answer.strip().removeprefix("Observation:").strip()


def _difference_when_repeated(
    world: CompleteWorld, start: Start, run: PlayedEpisode, settings: EpisodeSettings
) -> str:
    """What is different when a run is played again from its states; "" if nothing is."""
    for first, states in _repetitions(world, start, run, settings):
        for now in states:
            index = len(now.trajectory.steps) - 1
            step, again = run.trajectory.steps[index], now.trajectory.steps[index]
            if not world.same(step.observation, again.observation) or step.valid != again.valid:
                return f"{_changed(index, step, step.observation, again.observation)} when played again from {first}"
        if states[-1].trajectory.outcome != run.trajectory.outcome:
            return f"its reward is {states[-1].trajectory.outcome:g} when played again from {first}"
    return ""


def _repetitions(
    world: CompleteWorld, start: Start, run: PlayedEpisode, settings: EpisodeSettings
) -> Iterator[tuple[str, list[PlayedEpisode]]]:
    """The run from its start; and where states are snapshots, again from the start and from its middle, which the first
    repetition must not have changed."""
    texts = [step.text for step in run.trajectory.steps]
    once = execute(world, start, texts, "expert", settings)
    if not world.can(Snapshots):
        yield "its start", once
    else:
        yield "the snapshot at its start", once
        yield "the snapshot at its start", execute(world, start, texts, "expert", settings)
        middle = len(texts) // 2
        if 0 < middle < len(once):
            after = once[middle - 1].resume(start.task)
            rest = execute(world, after, texts[middle:], "expert", settings)
            yield f"the snapshot after step {middle}", rest


def _changed(index: int, step: Step, then: str, now: str) -> str:
    before, after = differing(then.strip(), now.strip())
    return f"step {index + 1}, {step.action!r}, was answered {before} and is answered {after}"


def _refuse_shared(
    world: CompleteWorld, runs: Sequence[tuple[PlayedEpisode, Task]], settings: EpisodeSettings
) -> None:
    """Play two runs beside each other, turn by turn. Raises EnvironmentFault if one is answered otherwise than alone,
    and that again: then the environments share something, and every later stage would store answers of a mixture. What
    is answered otherwise once, also alone, is another matter. Where a connection fails on the way, nothing is found."""
    try:
        found = _difference_beside(world, runs)
        if not found or any(
            _difference_when_repeated(world, start_of(world, task), run, settings) for run, task in runs
        ):
            return
        if _difference_beside(world, runs) == found:
            advice = COPIED if world.can(Snapshots) else SHARES_NOTHING
            raise EnvironmentFault(f"{found}: {advice}")
    except EpisodeFault as fault:
        if not is_transient(fault):
            raise


def _difference_beside(world: CompleteWorld, runs: Sequence[tuple[PlayedEpisode, Task]]) -> str:
    """The first answer that is another one than alone; "" if there is none."""
    states = []
    for at, (run, task) in enumerate(runs):
        first, state = world.begin(task)
        states.append(state)
        if not world.same(run.trajectory.first_observation, first):
            before, after = differing(run.trajectory.first_observation, first)
            return _beside(runs, at, f"the first observation was {before} and is {after}")
    turns = zip_longest(*(run.trajectory.steps for run, _ in runs))
    for index, steps in enumerate(turns):
        for at, step in enumerate(steps):
            if step is None:
                continue
            result, states[at] = world.advance(states[at], step.action or None)
            if not world.same(step.observation, result.observation) or step.valid != result.valid:
                return _beside(runs, at, _changed(index, step, step.observation, result.observation))
    return ""


def _beside(runs: Sequence[tuple[PlayedEpisode, Task]], at: int, difference: str) -> str:
    return (
        f"task {runs[at][1].task_id}: {difference} while task {runs[1 - at][1].task_id} is played beside it"
    )


def _task_record(task: Task) -> TaskRecord:
    return TaskRecord(
        task_id=task.task_id,
        world=task.world,
        split=task.split,
        task_type=task.task_type,
        instruction=task.instruction,
        payload=task.payload,
    )
