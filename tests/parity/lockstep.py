"""Walks one game in the official engine and in ours, side by side.

The official engine is only asked for observations, admissible commands and success: its planner can hang.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import textworld
from alfworld.agents.environment.alfred_tw_env import AlfredDemangler

from environments.alfworld.engine.game import Game, State
from environments.alfworld.environment import NOTHING
from environments.alfworld.official.reader import read_game

INVALID_SHARE = 0.1
NONSENSE = ("go to nowhere 1", "take shelf 1 from apple 1", "dance", "put", "go to", "")


@dataclass
class Comparison:
    steps: int = 0
    invalid: int = 0
    mismatches: list[str] = field(default_factory=list)

    def expect(self, what: str, official: object, ours: object) -> None:
        if official != ours:
            self.mismatches.append(f"{what}: official {official!r}, ours {ours!r}")


def official_engine(file: Path) -> textworld.Environment:
    infos = textworld.EnvInfos(won=True, admissible_commands=True, feedback=True)
    return textworld.start(str(file), infos, wrappers=[AlfredDemangler(shuffle=False)])


def walk(file: Path, seed: int, steps: int, comparison: Comparison, ours_from: Path | None = None) -> None:
    """A random walk, a tenth of it inadmissible commands, until the game is won or the steps are spent.
    `ours_from`: another file for our engine, to see that differences are noticed."""
    rng = random.Random(seed)
    engine, game = official_engine(file), read_game(ours_from or file).compile()
    official, state = engine.reset(), game.initial
    comparison.expect("intro", official.feedback, game.intro())
    try:
        for _ in range(steps):
            commands = game.commands(state)
            comparison.expect("admissible", official.admissible_commands, commands)
            command = choose(rng, commands, game)
            official, score, done = engine.step(command)
            before, state, text = state, *ours(game, state, command)
            comparison.steps += 1
            comparison.invalid += command not in commands
            comparison.expect(f"{file.parent} {command!r}", official.feedback, text)
            comparison.expect(f"{file.parent} {command!r} won", (bool(score), done), (game.won(state),) * 2)
            if command not in commands:
                comparison.expect("state after an inadmissible command", before, state)
            if done:
                break
    finally:
        engine.close()


def ours(game: Game, state: State, command: str) -> tuple[State, str]:
    return game.apply(state, command) or (state, NOTHING)


def choose(rng: random.Random, commands: list[str], game: Game) -> str:
    """Mostly an admissible command, and among those mostly one that changes something: looking is common."""
    if rng.random() < INVALID_SHARE:
        names = sorted(game.ids)
        one, other = rng.choice(names), rng.choice(names)
        forms = (
            f"go to {one}",
            f"take {one} from {other}",
            f"open {one}",
            f"heat {one} with {other}",
            f"use {one}",
        )
        return rng.choice([*NONSENSE, *forms, rng.choice(commands).upper()])
    acting = [
        command for command in commands if command.split()[0] not in ("examine", "look", "inventory", "help")
    ]
    handling = [command for command in acting if not command.startswith("go to")]
    pool = rng.choice([commands, acting, handling or acting, handling or acting])
    return rng.choice(pool)
