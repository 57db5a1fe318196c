"""Game files of ALFWorld, recordings beside them, and the payloads of tasks, which stored rows hold."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hypothesis import strategies as st

from environments.alfworld.environment import AlfworldEnvironment
from environments.alfworld.generation.problem import game_texts
from environments.alfworld.generation.world import GeneratedAlfworld
from environments.alfworld.official.reader import read_game, read_recording
from environments.alfworld.texts.thoughts import compose_thoughts
from environments.base import EnvironmentFault, Task
from tests.fuzz.inputs import TEXTS, changed, damaged, damaged_bytes, encoded
from tests.fuzz.trying import Kind

FOLDER = Path(mkdtemp(prefix="steca-fuzz-"))
TASKS = GeneratedAlfworld({}).tasks("train", 4, 0)
PIECES = TEXTS | st.sampled_from(
    [
        *(
            "(and",
            "(not",
            "(or",
            "(exists (?x - object)",
            "(forall (?x - object)",
            "(when",
            "(either a b)",
            "?x",
            "- object",
        ),
        *(
            "(:action",
            "(:types",
            "(:init",
            "(:goal",
            "(= ?a ?b)",
            ")",
            "(",
            "#",
            "[",
            "]",
            "{a.name}",
            "{a.id + b}",
            "|",
            ";",
        ),
        *(
            "{__import__('os')}",
            "{" + "a+" * 900 + "a}",
            "(not " * 900,
            "(and " * 900,
            "a - b b - a",
            '"',
            "<",
            ">",
        ),
    ]
)


def texts(task: Task) -> dict[str, Any]:
    domain, problem, grammar = game_texts(task.payload)
    return {"pddl_domain": domain, "grammar": grammar, "pddl_problem": problem, "solvable": True}


GAMES_AS_JSON = [texts(task) for task in TASKS[:2]]


@st.composite
def game(draw: st.DrawFn) -> bytes:
    """A game whose JSON is damaged, or one of its texts."""
    whole = dict(draw(st.sampled_from(GAMES_AS_JSON)))
    how = draw(st.sampled_from(["pddl_domain", "grammar", "pddl_problem", "pddl_problem", "json", "value"]))
    if how == "json":
        return encoded(draw(damaged(st.just(json.dumps(whole)), PIECES)))
    if how == "value":
        return encoded(json.dumps(draw(changed(st.just(whole)))))
    return encoded(json.dumps({**whole, how: draw(damaged(st.just(whole[how]), PIECES))}))


RECORDED = [
    {
        "from": "human",
        "value": "You are in the middle of a room. Looking quickly around you, you see a cabinet 1.",
    },
    {"from": "gpt", "value": "go to cabinet 1"},
    {"from": "human", "value": "On the cabinet 1, you see a mug 1."},
    {"from": "gpt", "value": "take mug 1 from cabinet 1"},
    {"from": "human", "value": "You pick up the mug 1 from the cabinet 1."},
]


def use_game(data: bytes) -> None:
    file = FOLDER / "game.tw-pddl"
    file.write_bytes(data)
    found = read_game(file)
    found.dialect()
    compiled = found.compile()
    compiled.intro()
    state = compiled.initial
    for command in list(compiled.commands(state))[:2]:
        compiled.apply(state, command)
    compiled.progress(state)


def use_recording(data: bytes) -> None:
    file = FOLDER / "gt_traj.json"
    file.write_bytes(data)
    compose_thoughts(*read_recording(file))


def use_payload(payload: str) -> None:
    AlfworldEnvironment().reset(Task("t", GeneratedAlfworld.name, "train", "pick", "do", payload))


PAYLOADS = [task.payload for task in TASKS]
GAMES = (
    Kind("games: ALFWorld", game(), use_game, (EnvironmentFault,)),
    Kind(
        "games: recorded runs",
        changed(st.just(RECORDED)).map(lambda value: encoded(json.dumps(value)))
        | damaged_bytes(st.just(json.dumps(RECORDED).encode())),
        use_recording,
        (EnvironmentFault,),
    ),
    Kind(
        "games: stored tasks",
        changed(st.sampled_from(PAYLOADS).map(json.loads)).map(json.dumps)
        | damaged(st.sampled_from(PAYLOADS), TEXTS),
        use_payload,
        (EnvironmentFault,),
    ),
)
