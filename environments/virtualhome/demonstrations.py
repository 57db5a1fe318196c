"""Programs as expert runs: the commands up to the goal, with thoughts."""

from __future__ import annotations

from environments.virtualhome.episodes import Opened, run_to_goal
from environments.virtualhome.seeing import look
from environments.virtualhome.texts import observation
from environments.virtualhome.thoughts import thought
from steca.types import Turn


def demonstration(task: Opened) -> list[Turn]:
    """The program's turns up to the goal; up to the refused command, if one comes first."""
    played, _ = run_to_goal(task)
    commands = [command for command, _ in played]
    turns, seen = list[Turn](), task.first
    for index, (command, state) in enumerate(played):
        view = look(task.home, state)
        seen = f"{seen}\n{observation(view)}"
        turns.append(Turn(thought(view, commands[index:], seen), command.text))
    return turns
