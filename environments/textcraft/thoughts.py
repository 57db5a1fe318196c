"""Turns of the expert, of the planner and of the published runs, and reflections: commands with their thoughts."""

from __future__ import annotations

from collections.abc import Sequence

from environments.textcraft.game import Game
from environments.textcraft.narration import chain, narrate, replay
from environments.textcraft.planner import plan
from environments.textcraft.rules import INVENTORY, RefusedError, State, apply, initial, parse_craft, progress
from steca.types import Step, Turn


def expert_turn(first_observation: str, steps: Sequence[Step]) -> Turn | None:
    """The first turn of a plan from the state that the history shows, whoever acted. None if the goal is reached, or
    can no longer be."""
    found = replay(first_observation, steps)
    commands = found and plan(*found)
    if not found or not commands:
        return None
    refused = bool(steps) and not steps[-1].valid
    return Turn(narrate(*found, commands[0], refused), commands[0])


def told(game: Game, state: State, commands: Sequence[str]) -> list[Turn]:
    """Commands that can be carried out one after the other, as turns. Each thought depends on the steps before it and
    on its own command. Raises RefusedError for a command that has no effect."""
    turns = []
    for command in commands:
        turns.append(Turn(narrate(game, state, command), command))
        state, _ = apply(game, state, command)
    return turns


def recorded_turns(game: Game, commands: Sequence[str]) -> list[Turn] | None:
    """A published run as turns. With `gather`, what a command takes is got right before it. None if the run does not
    reach the goal."""
    state, played = initial(game), list[str]()
    try:
        for command in commands:
            for each in (*_gets(state, command), command):
                played.append(each)
                state, _ = apply(game, state, each)
    except RefusedError:
        return None
    return told(game, initial(game), played) if progress(game, state) == 1.0 else None


def reflect(instruction: str, first_observation: str, steps: Sequence[Step], required_action: str) -> str:
    """The thought after a deviated last step: what the step was, and what is needed now. It leads to
    `required_action`. Raises ValueError for an empty history."""
    if not steps:
        raise ValueError(
            "there is no step to reflect on: give the history up to and including the deviated step"
        )
    before, after = replay(first_observation, steps[:-1]), replay(first_observation, steps)
    if before is None or after is None:
        return f"{_unhelpful(steps[-1].action)} My next step is: {required_action}."
    return f"{_verdict(*before, steps[-1])} {narrate(*after, required_action)}"


def _gets(state: State, command: str) -> list[str]:
    """What has to be got before a craft."""
    craft, held, around = parse_craft(command), dict(state.held), dict(state.around)
    missing = {item: n - held.get(item, 0) for item, n in craft.takes.items()} if craft else {}
    return [f"get {n} {item}" for item, n in missing.items() if 0 < n <= around.get(item, 0)]


def _verdict(game: Game, state: State, last: Step) -> str:
    """The statement about the last step."""
    if not last.action:
        return "My last turn named no action."
    if not last.valid:
        return f"I tried to {last.action}, but that had no effect."
    craft = parse_craft(last.action)
    if craft and chain(game, state, craft.item) is None:
        return f"I crafted {craft.pieces} {craft.item}, which I do not need."
    return _unhelpful(last.action)


def _unhelpful(action: str) -> str:
    return (
        "It did not help to look at what I have." if action == INVENTORY else f"It did not help to {action}."
    )
