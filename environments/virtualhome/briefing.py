"""The text before a chat model's first observation, with one worked example: a program that is in no split."""

from __future__ import annotations

from functools import cache

from environments.base import EnvironmentFault, Task
from environments.virtualhome.catalog import Entry, catalog
from environments.virtualhome.demonstrations import demonstration
from environments.virtualhome.environment import VirtualhomeEnvironment
from environments.virtualhome.episodes import opened, payload_of
from environments.virtualhome.splits import split_of
from steca.action_formats import ActionFormat

LENGTH = 6
"""Commands of the worked example."""
_RULES = """\
You act in a home. First you are told its rooms with what is in them, the actions, and your task; then you act, one \
turn at a time, until the home is as the task asks. After each of your turns you are told where you are, what is close \
to you, and what you hold. Things in something closed are told when it is open.

Write names with their numbers, as you were told them. Most actions need you to be close to the thing: walk to it, or \
find it, first. You have two hands. An action that cannot be done is answered "Nothing happens.".

{form}"""


@cache
def example_entry() -> Entry:
    """The worked example: the first program, by digest, of a title that training has, with LENGTH commands."""
    fit = [
        entry
        for entry in catalog().tasks()
        if entry.length == LENGTH and split_of(entry.title, entry.lines) == "train"
    ]
    if not fit:
        raise EnvironmentFault(f"virtualhome has no program of {LENGTH} commands for the worked example")
    return min(fit, key=lambda entry: entry.digest)


@cache
def briefing(example: bool, form: ActionFormat) -> str:
    rules = _RULES.format(form=form.instruction)
    return f"{rules}\n\n{_worked_example(form)}" if example else rules


def _worked_example(form: ActionFormat) -> str:
    entry = example_entry()
    payload = payload_of(entry.name, entry.digest)
    environment = VirtualhomeEnvironment()
    first = environment.reset(Task(entry.name, payload=payload), 0)
    played = []
    for turn in demonstration(opened(payload)):
        played.append(f"{form.text(turn)}\nObservation: {environment.step(turn.action).observation}")
    if environment.progress() < 1.0:
        raise EnvironmentFault(f"virtualhome's worked example, program {entry.name}, does not reach its goal")
    turns = "\n\n".join(played)
    return (
        f"Here is how another task was done:\n\n{first}\n\n{turns}\n\n"
        "That task is done. What follows is about yours."
    )
