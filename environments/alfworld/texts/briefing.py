"""The prompt of a chat model before an episode: how to act, in the dialect of its game, and one worked example.

The example is the exploring expert's run of a generated game, played in that dialect when the prompt is built, so it
shows what the engine answers. The game has 13 receptacles, more than any generated game, so it is in no split.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from environments.alfworld.engine.game import compile_game
from environments.alfworld.environment import AlfworldEnvironment, Snapshot
from environments.alfworld.generation.problem import game_texts
from environments.alfworld.texts.dialect import COMMAND, Dialect
from environments.base import EnvironmentFault
from steca.action_formats import REACT, ActionFormat
from steca.types import Step, Turn

PROMPTS = Path(__file__).parent / "prompts"
EXAMPLE = PROMPTS / "example.json"


@dataclass(frozen=True)
class WorkedExample:
    """A complete, successful episode."""

    first_observation: str
    steps: tuple[Step, ...]


@cache
def briefing(dialect: Dialect, example: bool, form: ActionFormat) -> str:
    """The instruction in a dialect and a form of turns, with or without the worked example."""
    template = Environment(undefined=StrictUndefined).from_string((PROMPTS / "briefing.jinja").read_text())
    put = COMMAND[dialect].format(o="{obj}", r="{recep}")
    shown = worked_example(dialect) if example else None
    turns = [form.text(Turn(step.thought, step.action)) for step in shown.steps] if shown else []
    return template.render(put=put, example=shown, turns=turns, form=form.instruction)


@cache
def worked_example(dialect: Dialect) -> WorkedExample:
    """The expert's run of the example's game. Raises EnvironmentFault if it does not succeed."""
    game = compile_game(*game_texts(EXAMPLE.read_text(), dialect))
    environment = AlfworldEnvironment()
    environment.restore(Snapshot(game, game.initial, won=False))
    steps: tuple[Step, ...] = ()
    while turn := environment.expert_turn(game.intro(), steps):
        result = environment.step(turn.action)
        steps += (
            Step(REACT.text(turn), turn.thought, turn.action, result.observation, result.valid, "expert"),
        )
        if result.done:
            return WorkedExample(game.intro(), steps)
    raise EnvironmentFault(f"{EXAMPLE}: the expert cannot do this game's task; choose another game")
