"""Checks of demonstrations, repairs, and what is said about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from environments.capabilities import ChecksGrounding, Expert, Planner, Recorded
from environments.identities import own_id
from rollouts.play import PlayedEpisode, execute, start_of
from rollouts.world_check.finding import Finding, Sample
from steca.vocabulary import END_WITHOUT_SUCCESS

HAVE_NONE = "have none"
NOT_PLAYED = "could not be played"


def check_expert(sample: Sample) -> Iterator[Finding]:
    """The expert's run of every task: played, and repeated from its states."""
    world, name = sample.world, "expert"
    if not (world.can(Expert) or world.can(Recorded) or world.recordings):
        yield Finding(
            name,
            "fault",
            "none: no expert_turn, no demonstration, no environment.demonstrations; no run is possible",
        )
        return
    ends: Counter[str] = Counter()
    first = ""
    for task in sample.tasks:
        run, problem = sample.experts[task.task_id]
        if run and run.trajectory.success:
            continue
        ends[_why(run, problem)] += 1
        first = first or f"; e.g. task {task.task_id}{f': {problem}' if problem else ''}"
    won = len(sample.tasks) - ends.total()
    if ends[HAVE_NONE] == len(sample.tasks) and world.recordings:
        first = f": {world.recordings.no_match(own_id(sample.tasks[0]))}"
    state = "ok" if not ends else "note" if won else "fault"
    same = [check for check in ("same answers again", "snapshots") if check in sample.faults]
    if same and not won and ends.keys() <= {END_WITHOUT_SUCCESS["replay_diverged"], NOT_PLAYED}:
        state, first = "note", f" (see {same[0]})"
    told = "".join(f"; {count}: {why}" for why, count in ends.most_common())
    yield Finding(name, state, f"{won} of {len(sample.tasks)} won{told}{first}")  # type: ignore[arg-type]


def _why(run: PlayedEpisode | None, problem: str) -> str:
    if run:
        return END_WITHOUT_SUCCESS[run.trajectory.end]
    return NOT_PLAYED if problem else HAVE_NONE


def check_remarks(sample: Sample) -> Iterator[Finding]:
    """What the world itself remarks, such as tasks that it leaves out."""
    if remarks := sample.world.own_remarks():
        yield Finding("remarks", "note", "; ".join(remarks))


def check_recordings(sample: Sample) -> Iterator[Finding]:
    """How many of the recorded runs could be read, and what was set aside."""
    if recordings := sample.world.recordings:
        remarks = recordings.remarks()
        told = "; ".join([f"{len(recordings.runs())} can be used", *remarks])
        yield Finding("recorded runs", "note" if remarks else "ok", told)


def check_grounding(sample: Sample) -> Iterator[Finding]:
    """Whether the expert's own thoughts pass the check that reflections have to pass."""
    world, name = sample.world, "thoughts grounded"
    by = "its own check" if world.can(ChecksGrounding) else "the general check"
    advice = "" if world.can(ChecksGrounding) else ": if it is wrong, give the world a method `ungrounded`"
    thoughts = 0
    for task in sample.tasks:
        run = sample.runs.get(task.task_id)
        steps = run.trajectory.steps if run else ()
        for index, step in enumerate(steps):
            thoughts += bool(step.thought)
            assert run, "it has steps"
            told = run.trajectory.first_observation, task.instruction, steps[:index]
            if names := world.ungrounded(*told, step.action, step.thought):
                yield Finding(
                    name,
                    "fault" if world.can(ChecksGrounding) else "note",
                    f"task {task.task_id}, step {index + 1}: the thought {step.thought!r} names "
                    f"{', '.join(map(repr, names))}, which was not seen before ({by}{advice})",
                )
                return
    yield Finding(name, "ok", f"{thoughts} thoughts, by {by}")


def check_planner(sample: Sample) -> Iterator[Finding]:
    """Whether plans from the middle of a run reach the goal."""
    world, name = sample.world, "planner"
    if not world.can(Planner):
        yield Finding(name, "not there", "repairs are the expert's remaining turns, or the expert's way on")
        return
    tried = won = 0
    for task in sample.tasks:
        if not (run := sample.runs.get(task.task_id)):
            continue
        texts = [step.text for step in run.trajectory.steps]
        start = start_of(world, task)
        played = execute(world, start, texts[: len(texts) // 2], "expert", sample.settings)
        middle = played[-1].resume(task) if played else start
        assert middle.state, "it was just played"
        plan = world.plan_repair(middle.state)
        tried += 1
        if plan:
            rest = execute(world, middle, [world.form.text(turn) for turn in plan], "repair", sample.settings)
            won += rest[-1].trajectory.success
    state = "ok" if tried and won == tried else "note" if won else "fault"
    yield Finding(name, state, f"{won} of {tried} plans from the middle of a run reach the goal")  # type: ignore[arg-type]
