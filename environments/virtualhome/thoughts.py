"""Thoughts for the commands of a program, composed from what the agent sees and from what it does next."""

from __future__ import annotations

from collections.abc import Sequence

from environments.virtualhome.commands import Command
from environments.virtualhome.texts import View

GOING = frozenset(("WALK", "RUN", "FIND"))
_ATTENDING = frozenset(("TURNTO", "LOOKAT", "POINTAT", "WATCH"))


def thought(view: View, commands: Sequence[Command], seen: str) -> str:
    """The thought before the first of `commands`. `view`: what is seen now. `seen`: all that was told so far; a thing
    that does not occur in it is named only if the command names it."""
    command = commands[0]
    if not command.things:
        return _without_things(view, command)
    if command.action in GOING:
        return _going(view, commands, seen)
    name = command.things[0].name
    if name in view.held:
        return f"I hold {name}. Now I {command.text}."
    sight = view.sight(name)
    if command.action in _ATTENDING:
        return f"{name.capitalize()} is what this is about: I {command.text}."
    if sight and sight.marks:
        return f"I am close to {name}, and it is {' and '.join(sight.marks)}: I {command.text}."
    return (
        f"I am close to {name}: I {command.text}." if sight else f"The next thing to do is to {command.text}."
    )


def _going(view: View, commands: Sequence[Command], seen: str) -> str:
    """Why to go: for what is done with the thing later on."""
    command, name = commands[0], commands[0].things[0].name
    uses = [
        later
        for later in commands[1:]
        if later.action not in GOING
        and command.things[0] in later.things
        and all(thing.name in seen or thing == command.things[0] for thing in later.things)
    ]
    uses.sort(key=lambda later: later.action in _ATTENDING)
    purpose = uses[0].text if uses else None
    if name == view.room:
        return f"I am in {name} already, and go on from here."
    if view.sight(name):
        return f"{name.capitalize()} is close: I want to {purpose or 'use it'}."
    if purpose:
        return f"I want to {purpose}, so I {command.text} first."
    return f"I need to be at {name} for my task."


def _without_things(view: View, command: Command) -> str:
    if command.action == "STANDUP" and view.posture:
        return f"I am {view.posture}, so I {command.text}."
    return f"Now it is time to {command.text}."
