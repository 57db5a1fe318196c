"""The comparison with TextCraft's original code finds what differs, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.worlds.textcraft_parity import Played, differences, played, replayed, request
from environments.base import Task
from environments.textcraft.environment import TextcraftEnvironment
from environments.textcraft.tasks import payload
from tests.support.textcraft_toys import game

RUN = ["craft 8 oak_planks using 2 oak_log", "craft 4 stick using 2 birch_planks"]
RUN += ["craft 2 rope using 3 hemp", "craft 1 crate using 6 oak_planks, 1 rope"]


def task(run: list[str]) -> Task:
    return Task("toy", payload=payload(game(), run))


def same(mine: Played) -> list[Any]:
    """An original that answers as we do."""
    return [[valid, dict(held), done] for valid, held, done in mine.answers]


@pytest.fixture
def mine() -> Played:
    found = played(TextcraftEnvironment(), task(RUN * 5))
    assert {valid for valid, _, _ in found.answers} == {True, False}
    return found


def test_equal_answers_do_not_differ(mine: Played) -> None:
    assert list(differences(mine, same(mine))) == []


def test_another_state_another_success_and_another_acceptance_are_found(mine: Played) -> None:
    accepted = next(n for n, (valid, _, _) in enumerate(mine.answers) if valid)
    refused = next(n for n, (valid, _, _) in enumerate(mine.answers) if not valid)
    for at, place, value, message in (
        (accepted, 0, False, "accepted by us only"),
        (refused, 0, True, "accepted by the original only"),
        (accepted, 1, {}, "another state after"),
        (accepted, 2, None, "another state after"),
    ):
        answers = same(mine)
        answers[at][place] = value
        found = list(differences(mine, answers))
        assert len(found) == 1
        assert message in found[0]


def test_the_original_is_asked_what_we_played(mine: Played) -> None:
    asked = json.loads(request(mine, "classic"))
    assert asked["goal"] == {"crate": 1, "stick": 4}
    assert [accepted for *_, accepted in asked["commands"]] == [valid for valid, _, _ in mine.answers]
    assert [{"oak_log": 2}, "oak_planks", 8, True] in asked["commands"]


@pytest.mark.parametrize(
    ("run", "end"),
    [
        (RUN, "reaches the goal"),
        ([*RUN, "craft 1 sack using 2 hemp"], "reaches the goal early"),
        (RUN[:-1], "does not reach the goal"),
        (["craft 4 stick using 2 planks"], "a command is refused"),
    ],
)
def test_the_end_of_a_run_is_told(run: list[str], end: str) -> None:
    assert replayed(TextcraftEnvironment(), task(run))[0] == end


def test_the_original_is_started_from_a_file_that_is_there() -> None:
    from benchmarks.worlds.textcraft_parity import ORIGINAL

    assert Path(ORIGINAL).is_file()
