"""The text before a chat model's first observation: the commands, and one worked example.

The example is the expert's run of a task of our own, really played when the text is built. Its items are in no recipe
of Minecraft and of TextCraft-Synth, so it is in no split.
"""

from __future__ import annotations

from functools import cache

from environments.base import EnvironmentFault
from environments.textcraft.game import Game
from environments.textcraft.recipes import Recipe
from environments.textcraft.rules import apply, initial, progress
from environments.textcraft.thoughts import expert_turn
from steca.action_formats import ActionFormat
from steca.types import Step

EXAMPLE = Game(
    start={"hemp": 7, "pine_beam": 2, "reed": 3, "tin_can": 1},
    goal={"birdhouse": 1},
    recipes=(
        Recipe("birdhouse", 1, (("board", 6), ("rope", 1))),
        Recipe("pine_board", 4, (("pine_beam", 1),)),
        Recipe("reed_board", 1, (("reed", 3),)),
        Recipe("rope", 2, (("hemp", 3),)),
        Recipe("sack", 1, (("hemp", 5),)),
    ),
    groups={"board": ("pine_board", "reed_board")},
    gather=False,
)
_RULES = """\
You craft items by recipe. First you are told the recipes, what {there} and what your task is; then you act, one turn \
at a time, until everything that your task names was crafted. After each of your turns you are told what came of it.

{form}

The commands, with numbers for N and names as you were told them for the items:
{get}craft N ITEM using N ITEM, N ITEM
inventory

A recipe says how many pieces it makes and what it takes; it can be carried out several times at once: from \
"craft 2 rope using 3 hemp" follows "craft 4 rope using 6 hemp". If a recipe names a group of items, choose one of its \
items and name that. What was used is gone{gone}."""
_THERE = {False: "you have", True: "you can get"}
_GET = "get N ITEM\n"
_GONE = {
    False: ", and there is no more than what you have",
    True: ", and there is no more than what you can get",
}


@cache
def briefing(gather: bool, example: bool, form: ActionFormat) -> str:
    rules = _RULES.format(there=_THERE[gather], get=_GET * gather, gone=_GONE[gather], form=form.instruction)
    return f"{rules}\n\n{_worked_example(gather, form)}" if example else rules


def _worked_example(gather: bool, form: ActionFormat) -> str:
    game = Game(EXAMPLE.start, EXAMPLE.goal, EXAMPLE.recipes, EXAMPLE.groups, gather)
    state, first, steps = initial(game), game.intro(), tuple[Step, ...]()
    while turn := expert_turn(first, steps):
        state, observation = apply(game, state, turn.action)
        steps += (Step(form.text(turn), turn.thought, turn.action, observation, True, "expert"),)
    if progress(game, state) < 1.0:
        raise EnvironmentFault("the example of TextCraft's briefing cannot be done: correct its recipes")
    played = "\n\n".join(f"{step.text}\nObservation: {step.observation}" for step in steps)
    return (
        f"Here is how another task was done, with other items:\n\n{first}\n\n{played}\n\n"
        "That task is done. What follows is about yours."
    )
