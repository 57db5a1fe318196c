"""The briefing of a chat model: only the game's own commands, and an example that was really played, in no split."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import pytest

from environments.alfworld.engine.game import Game, compile_game
from environments.alfworld.generation.problem import game_texts, read_payload
from environments.alfworld.generation.world import GeneratedAlfworld
from environments.alfworld.official.trials import trial_folder
from environments.alfworld.official.world import RealAlfworld
from environments.alfworld.texts.briefing import EXAMPLE, briefing
from environments.alfworld.texts.dialect import Dialect, after_arrival, in_dialect
from environments.base import EnvironmentFault, Task
from steca.action_formats import REACT
from steca.turns import parse_turn
from steca.types import Step
from tests.support.official_layout import export_game

DIALECTS: tuple[Dialect, ...] = ("put", "move")
INSTRUCTED = {"put": "put {obj} in/on {recep}", "move": "move {obj} to {recep}"}
OTHER: dict[Dialect, Dialect] = {"put": "move", "move": "put"}


def commands(text: str) -> list[str]:
    """The lines with actions: the listed ones, and the example's."""
    listed = text.partition("as you were told it:\n")[2].partition("\n\n")[0].splitlines()
    return [*listed, *re.findall(r"^Action: (.*\d)$", text, re.MULTILINE)]


def example_game(dialect: Dialect) -> Game:
    return compile_game(*game_texts(EXAMPLE.read_text(), dialect))


def told(text: str) -> tuple[str, list[tuple[str, str]]]:
    """The example in a briefing: the first observation, and (turn, observation) pairs."""
    story = text.partition("another household was done:\n\n")[2].partition("\n\nThat household's task")[0]
    first, *rest = re.split(r"\n\n(?=Thought: )", story)
    pairs = [tuple(part.split("\nObservation: ")) for part in rest]
    assert all(len(pair) == 2 for pair in pairs)
    return first, [(turn, observation) for turn, observation in pairs]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("example", [False, True])
def test_a_briefing_speaks_its_own_dialect_only(dialect: Dialect, example: bool) -> None:
    text = briefing(dialect, example, REACT)
    assert INSTRUCTED[dialect] in text.splitlines()
    assert sum(line.startswith(f"{dialect} ") for line in commands(text)) == 1 + example
    assert not [line for line in commands(text) if line.startswith(f"{OTHER[dialect]} ")]
    assert INSTRUCTED[OTHER[dialect]] not in text
    assert f"You {OTHER[dialect]}" not in text


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_listed_action_is_one_that_the_game_knows(dialect: Dialect) -> None:
    verbs = {line.split()[0] for line in commands(briefing(dialect, False, REACT))}
    assert verbs == set(example_game(dialect).rules.commands)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_example_is_a_real_episode_of_8_to_12_turns_with_a_state_change(dialect: Dialect) -> None:
    first, pairs = told(briefing(dialect, True, REACT))
    game = example_game(dialect)
    assert first == game.intro()
    assert 8 <= len(pairs) <= 12
    state = game.initial
    for number, (turn, observation) in enumerate(pairs):
        thought, action = parse_turn(turn) or ("", "")
        assert thought
        assert not game.won(state), f"won before turn {number}"
        done = game.apply(state, action)
        assert done, f"turn {number} is refused: {action}"
        state, answer = done
        assert observation == after_arrival(answer)
    assert game.won(state)
    assert any(re.match("Action: (clean|heat|cool) ", turn.splitlines()[1]) for turn, _ in pairs)


def test_the_other_dialects_game_refuses_the_examples_last_action() -> None:
    """Negative control of the replay: the dialects really differ, and only where things are put down."""
    mine, other = told(briefing("put", True, REACT))[1], told(briefing("move", True, REACT))[1]
    assert [turn for turn, _ in mine][:-1] == [turn for turn, _ in other][:-1]
    game = example_game("put")
    state = game.initial
    for turn, _ in mine[:-1]:
        done = game.apply(state, (parse_turn(turn) or ("", ""))[1])
        assert done
        state = done[0]
    for pairs, accepted in ((mine, True), (other, False)):
        assert (game.apply(state, (parse_turn(pairs[-1][0]) or ("", ""))[1]) is not None) == accepted


def test_the_examples_game_is_in_no_split() -> None:
    game = read_payload(EXAMPLE.read_text())
    size = len(game["places"])
    with pytest.raises(EnvironmentFault, match="receptacles is 13"):
        GeneratedAlfworld({"receptacles": size})
    mine = Counter(name for name, *_ in game["places"])
    for receptacles in range(6, 13):
        world = GeneratedAlfworld({"receptacles": receptacles})
        for split in ("train", "validation", "seen", "unseen"):
            for task in world.tasks(split, 12, seed=0):
                assert Counter(name for name, *_ in read_payload(task.payload)["places"]) != mine


def test_generated_games_are_briefed_in_the_words_of_their_grammar() -> None:
    world = GeneratedAlfworld({})
    for task in world.tasks("unseen", 6, seed=0):
        assert compile_game(*game_texts(task.payload)).dialect == "put"
        assert world.briefing(task, example=True, form=REACT) is briefing("put", True, REACT)
        assert world.briefing(task, example=False, form=REACT) is briefing("put", False, REACT)


@pytest.fixture
def both(tmp_path: Path) -> dict[Dialect, RealAlfworld]:
    """Two data folders in the official layout, with the same six games in either dialect."""
    worlds: dict[Dialect, RealAlfworld] = {}
    for dialect in DIALECTS:
        for number, task in enumerate(GeneratedAlfworld({}).tasks("train", 6, seed=5)):
            folder = tmp_path / dialect / "json_2.1.1" / "valid_seen" / f"{task.task_type}-{number}" / "trial"
            export_game(task, folder, dialect)
        worlds[dialect] = RealAlfworld({"data": tmp_path / dialect})
    return worlds


@pytest.mark.parametrize("dialect", DIALECTS)
def test_game_files_are_briefed_in_the_words_of_their_grammar(
    both: dict[Dialect, RealAlfworld], dialect: Dialect
) -> None:
    for task in both[dialect].tasks("seen", 6, seed=0):
        assert both[dialect].briefing(task, example=True, form=REACT) is briefing(dialect, True, REACT)
        assert both[dialect].briefing(task, example=False, form=REACT) is briefing(dialect, False, REACT)


def test_a_game_file_is_read_once_for_its_briefings(both: dict[Dialect, RealAlfworld]) -> None:
    [task, *_] = both["move"].tasks("seen", 6, seed=0)
    said = both["move"].briefing(task, example=True, form=REACT)
    folder = trial_folder(both["move"]._data, task.payload)
    (folder / "game.tw-pddl").unlink()
    assert both["move"].briefing(task, example=True, form=REACT) is said
    gone = Task("x", task.world, task.split, task.task_type, task.instruction, "json_2.1.1/nowhere")
    with pytest.raises(EnvironmentFault, match="cannot be read"):
        both["move"].briefing(gone, example=True, form=REACT)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_expert_speaks_the_dialect_of_the_game_that_it_is_in(
    both: dict[Dialect, RealAlfworld], dialect: Dialect
) -> None:
    environment = both[dialect].environment()
    for task in both[dialect].tasks("seen", 6, seed=0):
        first, steps, done = environment.reset(task), list[Step](), False
        while not done:
            turn = environment.expert_turn(first, steps)
            assert turn is not None
            result = environment.step(turn.action)
            assert result.valid, turn
            done = result.done
            steps.append(
                Step(REACT.text(turn), turn.thought, turn.action, result.observation, True, "expert")
            )
        assert not [step for step in steps if step.action.startswith(f"{OTHER[dialect]} ")]


def test_a_grammar_changes_its_dialect_in_nothing_but_putting_down() -> None:
    grammar = game_texts(EXAMPLE.read_text())[2]
    assert in_dialect(grammar, "put") == grammar
    pairs = zip(grammar.splitlines(), in_dialect(grammar, "move").splitlines(), strict=True)
    assert len([1 for old, new in pairs if old != new]) == 2


@pytest.mark.skipif("ALFWORLD_DATA" not in os.environ, reason="needs the real games: set ALFWORLD_DATA")
def test_real_games_are_briefed_in_the_words_of_their_grammar() -> None:
    world = RealAlfworld({})
    environment = world.environment()
    for task in world.tasks("train", 12, seed=0):
        environment.reset(task)
        snapshot = environment.snapshot()
        assert world.briefing(task, example=True, form=REACT) is briefing(snapshot.game.dialect, True, REACT)
        mine = INSTRUCTED[snapshot.game.dialect].replace("{obj}", "{o}").replace("{recep}", "{r}")
        assert f'"{mine}"' in (trial_folder(world._data, task.payload) / "game.tw-pddl").read_text().replace(
            "\\", ""
        )
